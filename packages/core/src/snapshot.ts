import { checkOptions, type OnExecutor, onExecutor } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import type { Adapted } from './attach.ts';
import type { AdapterConfig, Compacted, State } from './method.ts';

/** An adapter as it is now, in its final form: what is saved, and what other methods are made of. */
export interface Snapshot extends Compacted {
  readonly config: AdapterConfig;
}

/** The values that an adapter has on an executor, with its configuration for its base. */
export const snapshot = async ({ base, method, state }: Adapted<Model>, options: OnExecutor): Promise<Snapshot> => {
  checkOptions('snapshot', onExecutor, options);
  const now: State = new Map(
    await Promise.all(
      [...state].map(async ([name, v]) => [name, { shape: v.shape, data: await options.executor.read(v) }] as const),
    ),
  );
  const final = (await method.compact?.(base, now, options)) ?? { method, state: now };
  return { ...final, config: final.method.config(base) };
};
