import { checkOptions, mustBe, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import type { Method, PrepareOptions } from './method.ts';

const rules: Rules<PrepareOptions> = {
  ...onExecutor,
  data: mustBe.given(mustBe.such('a list of batches', Array.isArray)),
};

/**
 * Lets the methods that look at the base and at data before training do so; the others come back as they are. Throws `bad-option` where
 * one needs data and there are none: `data: []` does for those that look at the weights alone.
 */
export const prepare = async (
  model: TaskModel,
  methods: readonly Method[],
  options: PrepareOptions,
): Promise<Method[]> => {
  checkOptions('prepare', rules, options);
  const waiting = methods.filter((m) => m.prepare && m.needsData !== false);
  if (waiting.length > 0 && options.data.length === 0)
    throw new PeftError(
      'bad-option',
      `prepare: ${waiting.map((m) => m.name).join(', ')} learns from examples; give at least one batch of them`,
    );
  const ready: Method[] = [];
  for (const method of methods) ready.push((await method.prepare?.(model, options)) ?? method);
  return ready;
};
