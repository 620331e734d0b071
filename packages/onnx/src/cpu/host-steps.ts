import { adamwInPlace } from './adamw.ts';
import { adamw8bitInPlace } from './adamw8bit.ts';
import type { HostArray } from './storage.ts';

/** An optimiser's step that runs on the host, in place, after the graph. */
export interface HostStep {
  /** Which inputs the op's outputs are the new values of. */
  readonly writes: readonly number[];
  run(state: readonly HostArray[], grad: HostArray, hyper: HostArray): void;
}

/** The ops that have such a step, by name. */
export const hostSteps: Readonly<Record<'adamw' | 'adamw8bit', HostStep>> = {
  adamw: {
    writes: [0, 2, 3],
    run: ([weight, m, v], grad, hyper) => adamwInPlace(weight!, grad, m!, v!, hyper),
  },
  adamw8bit: {
    writes: [0, 2, 3, 4, 5],
    run: (state, grad, hyper) => adamw8bitInPlace(state as Parameters<typeof adamw8bitInPlace>[0], grad, hyper),
  },
};

/** The name of such an op. */
export type HostStepName = keyof typeof hostSteps;

/** Whether an op has such a step. */
export const hasHostStep = (name: string): name is HostStepName => Object.hasOwn(hostSteps, name);
