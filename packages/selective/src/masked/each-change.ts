import { grad } from '@peftjs/autograd';
import type { Examples, PrepareOptions } from '@peftjs/core';
import { inputsOf, withWeights } from '@peftjs/core/collect';
import {
  adamwStep,
  add,
  buildProgram,
  compile,
  type Executable,
  type Executor,
  input,
  PeftError,
  sizeOf,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { meanOf, type Path, type TaskModel } from '@peftjs/transformer';

/** How weights are tuned for a time. */
export interface TunedFor {
  readonly steps: number;
  /** AdamW's at the first step; it falls to 0 evenly. */
  readonly learningRate: number;
}

/** A weight's change, and what AdamW keeps of it. */
interface Tuned {
  readonly change: Variable;
  readonly moments: readonly [Variable, Variable];
}

interface Step {
  readonly program: Executable;
  readonly reads: readonly string[];
}

const zeros = (name: string, shape: readonly number[]): Variable =>
  variable(name, shape, () => new Float32Array(sizeOf(shape)));

const compileStep = async (
  model: TaskModel,
  tuned: ReadonlyMap<Path, Tuned>,
  batch: Examples,
  executor: Executor,
): Promise<Step> => {
  const { view } = withWeights(model, [...tuned.keys()], (weight, path) => add(weight, tuned.get(path)!.change));
  const loss = meanOf(view.loss(inputsOf(batch)));
  const all = [...tuned.values()];
  const gradients = grad(
    loss,
    all.map(({ change }) => change),
  );
  const hyper = input('hyper', [8]);
  const updates = all.flatMap(({ change, moments: [m, v] }, i) => {
    const [now, m2, v2] = adamwStep(change, gradients[i]!, m, v, hyper);
    return [[change, now] as const, [m, m2] as const, [v, v2] as const];
  });
  const spec = { outputs: { loss }, updates };
  return { program: await compile(spec, { executor }), reads: buildProgram(spec).inputs.map(({ name }) => name) };
};

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
 * Tunes the weights of linear layers by AdamW, batch after batch and from the first again, and gives `take` how they have changed, W′ − W [outDim · inDim], layer by layer. The base stays as it is.
 * All layers are tuned at once, so the executor holds twelve bytes a weight, and its gradient. Throws `diverged`.
 */
export const eachChange = async (
  who: string,
  model: TaskModel,
  paths: readonly Path[],
  { executor, data }: PrepareOptions,
  time: TunedFor,
  take: (path: Path, change: Float32Array) => void,
): Promise<void> => {
  const tuned = new Map(
    paths.map((path): [Path, Tuned] => {
      const { outDim, inDim } = model.linears.get(path)!;
      const made = (name: string): Variable => zeros(`${path}.${name}`, [outDim, inDim]);
      return [path, { change: made('change'), moments: [made('m'), made('v')] }];
    }),
  );
  const programs = new Map<string, Step>();
  try {
    for (let step = 0; step < time.steps; step++) {
      const batch = data[step % data.length]!;
      const key = JSON.stringify(batch.shapes);
      const { program, reads } = programs.get(key) ?? (await compileStep(model, tuned, batch, executor));
      programs.set(key, { program, reads });
      const columns = Object.fromEntries(
        reads.flatMap((name) => (name === 'hyper' ? [] : [[name, batch.columns[name]!]])),
      );
      const { loss } = await program.run({ ...columns, hyper: hyperOf(step, time) });
      if (!Number.isFinite(loss![0]))
        throw new PeftError('diverged', `${who}: the loss is ${loss![0]} at step ${step + 1}; give a lower rate`);
    }
    for (const [path, { change }] of tuned) take(path, (await executor.read(change)) as Float32Array);
  } finally {
    for (const { program } of programs.values()) program.close();
    executor.release([...tuned.values()].flatMap(({ change, moments }) => [change, ...moments]));
  }
};
