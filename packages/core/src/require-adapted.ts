import { PeftError } from '@peftjs/tensor';
import { requireModel } from '@peftjs/transformer';

/** Refuses what has no trained part where one belongs. Throws `bad-option` that says what to give. */
export const requireAdapted = (who: string, value: unknown): void => {
  const given = (value ?? {}) as { readonly model?: unknown; readonly params?: unknown; readonly linears?: unknown };
  if (given.linears !== undefined)
    throw new PeftError(
      'bad-option',
      `${who}: that is a model alone; give one with an adapter, attach(model, [lora()])`,
    );
  if (!(given.params instanceof Map))
    throw new PeftError(
      'bad-option',
      `${who}: there is no adapter; give what attach or load gives${value instanceof Promise ? ', which must be awaited' : ''}`,
    );
  requireModel(who, given.model);
};
