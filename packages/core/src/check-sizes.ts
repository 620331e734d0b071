import { isObject, type JsonObject } from '@peftjs/io';
import { PeftError, sizeOf } from '@peftjs/tensor';
import type { State } from './method.ts';

/** Fields that give a side of tensors that an adapter's file holds. */
const sizes: readonly string[] = ['num_virtual_tokens', 'prefix_length', 'prompt_length', 'r'];

/** Sizes in a configuration, also in those of methods within it. */
const sizesIn = (config: unknown): [field: string, value: number][] => {
  if (Array.isArray(config)) return config.flatMap(sizesIn);
  if (!isObject(config)) return [];
  return Object.entries(config).flatMap(([field, value]) =>
    typeof value === 'number' && sizes.includes(field) ? [[field, value] as [string, number]] : sizesIn(value),
  );
};

/**
 * Compares the sizes that a configuration tells with what the file holds, before anything is made of them. Throws `bad-adapter` for one that
 * no tensor there could have.
 */
export const checkSizes = (config: JsonObject, state: State): void => {
  let held = 0;
  for (const { shape } of state.values()) held += sizeOf(shape);
  const wrong = sizesIn(config).filter(([, value]) => value > Math.max(held, 1));
  if (wrong.length === 0) return;
  const said = wrong.map(([field, value]) => `${field} ${value}`).join(', ');
  throw new PeftError(
    'bad-adapter',
    `adapter_config.json says ${said}; all tensors of the file have ${held} values together. One of them is of another adapter.`,
  );
};
