import { checkOptions, type OnExecutor, onExecutor } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import type { Adapted } from './attach.ts';
import type { AdapterConfig, Compacted, State } from './method.ts';
import { isHeads } from './task-heads.ts';

/** An adapter as it is now, in its final form: what is saved, and what other methods are made of. */
export interface Snapshot extends Compacted {
  readonly config: AdapterConfig;
}

/** The values that an adapter has on an executor, with its configuration for its base. */
export const snapshot = async ({ base, method, state }: Adapted<Model>, options: OnExecutor): Promise<Snapshot> => {
  checkOptions('snapshot', onExecutor, options);
  const now = await Promise.all(
    [...state].map(async ([name, v]) => [name, { shape: v.shape, data: await options.executor.read(v) }] as const),
  );
  const own: State = new Map(now.filter(([name]) => !isHeads(base, name)));
  const final = (await method.compact?.(base, own, options)) ?? { method, state: own };
  const heads = now.filter(([name]) => isHeads(base, name));
  return { method: final.method, state: new Map([...heads, ...final.state]), config: final.method.config(base) };
};
