import { type Adapted, attach, type Examples } from '@peftjs/core';
import { inputsOf } from '@peftjs/core/collect';
import {
  buildProgram,
  compile,
  type Executable,
  type OnExecutor,
  PeftError,
  sameShape,
  type TypedArray,
} from '@peftjs/tensor';
import { meanOf, type TaskModel } from '@peftjs/transformer';

/** The examples and the penalty that composed adapters are judged by. */
export interface ScoreOptions extends OnExecutor {
  /** A few examples of the new task. */
  readonly data: readonly Examples[];
  /** The weight of the mean magnitude of the weights, added to the loss. Default 0.05. */
  readonly l1?: number;
}

/** Several adapters in one. */
export interface Composition<M extends TaskModel> {
  /** The adapter that weights are written into. */
  readonly adapted: Adapted<M>;
  /** Composes with these weights: the mean loss over the examples. */
  lossOf(weights: readonly number[]): Promise<number>;
  /** That and the penalty, which a search lowers. */
  scoreOf(weights: readonly number[]): Promise<number>;
  /** Frees the programs. */
  close(): void;
}

/** Adapters that have not the same tensors. */
const problemsOf = (adapters: readonly Adapted<TaskModel>[]): string[] => {
  const [first, ...others] = adapters;
  if (!first) return ['there is no adapter; give at least one'];
  const differs = (other: Adapted<TaskModel>): boolean =>
    other.state.size !== first.state.size ||
    [...first.state].some(([name, { shape }]) => !sameShape(other.state.get(name)?.shape ?? [-1], shape));
  return [
    ...(others.some(({ base }) => base !== first.base)
      ? ['the adapters have unlike bases; load or attach all of them over one']
      : []),
    ...(others.some(differs)
      ? ['the adapters have unlike tensors; all must adapt the same layers with the same rank']
      : []),
    ...([...first.state.values()].some(({ dtype }) => dtype !== 'f32')
      ? ['only adapters whose tensors are f32 can be summed']
      : []),
  ];
};

/** The loss over batches, the mean of their means. */
const lossOver = async (
  model: TaskModel,
  { data, executor }: ScoreOptions,
): Promise<{ measure(): Promise<number>; close(): void }> => {
  const programs = new Map<string, { readonly program: Executable; readonly reads: readonly string[] }>();
  for (const batch of data) {
    const key = JSON.stringify(batch.shapes);
    if (programs.has(key)) continue;
    const spec = { outputs: { loss: meanOf(model.loss(inputsOf(batch))) } };
    programs.set(key, {
      program: await compile(spec, { executor }),
      reads: buildProgram(spec).inputs.map(({ name }) => name),
    });
  }
  return {
    measure: async () => {
      let sum = 0;
      for (const { shapes, columns } of data) {
        const { program, reads } = programs.get(JSON.stringify(shapes))!;
        sum += (await program.run(Object.fromEntries(reads.map((name) => [name, columns[name]!]))))['loss']![0]!;
      }
      return sum / data.length;
    },
    close: () => {
      for (const { program } of programs.values()) program.close();
    },
  };
};

/** Adapters that are alike, to be summed tensor by tensor: Â = Σ wᵢAᵢ and B̂ = Σ wᵢBᵢ. Throws `bad-option`. */
export const composition = async <M extends TaskModel>(
  adapters: readonly Adapted<M>[],
  options: ScoreOptions,
): Promise<Composition<M>> => {
  const problems = problemsOf(adapters);
  if (problems.length > 0) throw new PeftError('bad-option', `loraHub: ${problems.join('; ')}`);
  const { executor, l1 = 0.05 } = options;
  const { base, methods } = adapters[0]!;
  const adapted = attach(base, methods);
  const parts = new Map<string, readonly TypedArray[]>();
  for (const name of adapted.state.keys())
    parts.set(name, await Promise.all(adapters.map(({ state }) => executor.read(state.get(name)!))));
  const compose = async (weights: readonly number[]): Promise<void> => {
    for (const [name, v] of adapted.state) {
      const of = parts.get(name)!;
      const sum = Float32Array.from(of[0]!, (_, k) => weights.reduce((s, w, i) => s + w * of[i]![k]!, 0));
      await executor.write(v, sum);
    }
  };
  const { measure, close } = await lossOver(adapted.model, options);
  const lossOf = async (weights: readonly number[]): Promise<number> => {
    await compose(weights);
    return measure();
  };
  const scoreOf = async (weights: readonly number[]): Promise<number> =>
    (await lossOf(weights)) + (l1 * weights.reduce((sum, w) => sum + Math.abs(w), 0)) / weights.length;
  return { adapted, lossOf, scoreOf, close };
};
