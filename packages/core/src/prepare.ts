import { type Executor, PeftError } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';
import type { Examples, Method } from './method.ts';

/**
 * Lets the methods that look at the base and at data before training do so; the others come back as they are. Throws `bad-option` where
 * one needs data and there are none.
 */
export const prepare = async (
  model: TaskModel,
  methods: readonly Method[],
  data: readonly Examples[],
  executor: Executor,
): Promise<Method[]> => {
  const waiting = methods.filter((m) => m.prepare);
  if (waiting.length > 0 && data.length === 0)
    throw new PeftError(
      'bad-option',
      `prepare: ${waiting.map((m) => m.name).join(', ')} learns from examples; give at least one batch of them`,
    );
  const ready: Method[] = [];
  for (const method of methods) ready.push((await method.prepare?.(model, data, executor)) ?? method);
  return ready;
};
