import type { Executor } from '@peftjs/tensor';
import { type GpuOptions, openGpu } from '../device/dawn.ts';
import { executorOn } from '../executor/executor.ts';
import type { Choice, DeviceFacts } from '../kernel.ts';

/** An executor whose kernels take one way after the other. */
export interface EveryWay {
  /** The adapter, for people. */
  readonly description: string;
  readonly executor: Executor;
  /**
   * Calls `run` once for each way of the choices that it comes to, with the way's name, or `undefined` where it comes to none, and whether the products so
   * far were computed in f16. Where choices have lists of several lengths, the shorter ones stay with their first way.
   */
  each(run: (way: () => string | undefined, rounds: () => boolean) => Promise<void>): Promise<void>;
}

/** Opens an adapter for trying every way of its kernels; `facts` are what kernels are told of it otherwise. Memory is filled with NaN before use. */
export const everyWay = async (options: GpuOptions, facts: Partial<DeviceFacts> = {}): Promise<EveryWay> => {
  const gpu = await openGpu(options);
  const own = { ...gpu.facts, ...facts };
  let ways: readonly string[] = [];
  let at = 0;
  let rounds = false;
  const choose = (choice: Choice): string | undefined => {
    if (choice.ways.length > ways.length) ways = choice.ways;
    const way = choice.ways[at];
    rounds ||= (way ?? choice.ways[0]!).startsWith('half');
    return way;
  };
  return {
    description: gpu.description,
    executor: executorOn({ ...gpu, facts: { ...own, halfProducts: own.f16, choose } }, { poison: true }),
    each: async (run) => {
      ways = [];
      at = 0;
      do {
        rounds = false;
        await run(
          () => ways[at],
          () => rounds,
        );
      } while (++at < ways.length);
    },
  };
};
