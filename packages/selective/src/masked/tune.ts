import { grad } from '@peftjs/autograd';
import type { PrepareOptions } from '@peftjs/core';
import { inputsOf } from '@peftjs/core/collect';
import {
  adamwStep,
  buildProgram,
  compile,
  type Executable,
  input,
  PeftError,
  sizeOf,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { type Inputs, type Loss, meanOf } from '@peftjs/transformer';

/** How values are tuned for a time. */
export interface TunedFor {
  readonly steps: number;
  /** AdamW's at the first step; it falls to 0 evenly. */
  readonly learningRate: number;
}

/** A variable of zeros. */
export const zeroed = (name: string, shape: readonly number[]): Variable =>
  variable(name, shape, () => new Float32Array(sizeOf(shape)));

/** AdamW's constants of a step, counted from 0; the rate falls evenly, nothing decays. */
const hyperOf = (step: number, { steps, learningRate }: TunedFor): Float32Array =>
  Float32Array.of(
    learningRate * (1 - step / steps),
    0.9,
    0.999,
    1e-8,
    0,
    1 - 0.9 ** (step + 1),
    1 - 0.999 ** (step + 1),
    1,
  );

/**
 * Tunes variables by AdamW on the mean of a loss that is a graph of them, batch after batch and from the first again. The executor holds their moments for that time, twice their size, and their
 * gradients. Throws `diverged`.
 */
export const tune = async (
  who: string,
  lossOf: (inputs: Inputs) => Loss,
  variables: readonly Variable[],
  { executor, data }: PrepareOptions,
  time: TunedFor,
): Promise<void> => {
  const moments = variables.map(
    ({ node: { name }, shape }) => [zeroed(`${name}.m`, shape), zeroed(`${name}.v`, shape)] as const,
  );
  const programs = new Map<string, readonly [program: Executable, reads: readonly string[]]>();
  try {
    for (let step = 0; step < time.steps; step++) {
      const batch = data[step % data.length]!;
      const key = JSON.stringify(batch.shapes);
      if (!programs.has(key)) {
        const loss = meanOf(lossOf(inputsOf(batch)));
        const gradients = grad(loss, [...variables]);
        const hyper = input('hyper', [8]);
        const updates = variables.flatMap((of, i) => {
          const [m, v] = moments[i]!;
          const [now, m2, v2] = adamwStep(of, gradients[i]!, m, v, hyper);
          return [[of, now] as const, [m, m2] as const, [v, v2] as const];
        });
        const spec = { outputs: { loss }, updates };
        programs.set(key, [await compile(spec, { executor }), buildProgram(spec).inputs.map(({ name }) => name)]);
      }
      const [program, reads] = programs.get(key)!;
      const columns = reads.flatMap((name) => (name === 'hyper' ? [] : [[name, batch.columns[name]!] as const]));
      const { loss } = await program.run({ ...Object.fromEntries(columns), hyper: hyperOf(step, time) });
      if (!Number.isFinite(loss![0]))
        throw new PeftError('diverged', `${who}: the loss is ${loss![0]} at step ${step + 1}; give a lower rate`);
    }
  } finally {
    for (const [program] of programs.values()) program.close();
    executor.release(moments.flat());
  }
};
