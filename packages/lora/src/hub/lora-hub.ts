import { type Adapted, attach, type Examples } from '@peftjs/core';
import { inputsOf } from '@peftjs/core/collect';
import {
  buildProgram,
  checkOptions,
  compile,
  type Executable,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Rules,
  sameShape,
  type TypedArray,
} from '@peftjs/tensor';
import { meanOf, type TaskModel } from '@peftjs/transformer';
import { nelderMead } from './nelder-mead.ts';

/** How adapters are composed. */
export interface LoraHubOptions extends OnExecutor {
  /** A few examples of the new task. */
  readonly data: readonly Examples[];
  /** The most weights that are tried. Default 40. */
  readonly evaluations?: number;
  /** Weights stay within [−bound, bound]. Default 1.5. */
  readonly bound?: number;
  /** The weight of the mean magnitude of the weights, added to the loss. Default 0.05. */
  readonly l1?: number;
}

const rules: Rules<LoraHubOptions> = {
  ...onExecutor,
  data: mustBe.given(mustBe.such('a list of batches, one at least', (v) => Array.isArray(v) && v.length > 0)),
  evaluations: mustBe.count,
  bound: mustBe.such('a number above 0', (v) => Number.isFinite(v) && (v as number) > 0),
  l1: mustBe.such('a number of at least 0', (v) => Number.isFinite(v) && (v as number) >= 0),
};

/** A composed adapter. */
export interface ComposedLora<M extends TaskModel> {
  /** Ordinary: to be used, trained further, saved. */
  readonly adapted: Adapted<M>;
  /** The weight of each adapter. */
  readonly weights: readonly number[];
  /** The mean loss over the examples with these weights, without the penalty. */
  readonly loss: number;
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
  { data, executor }: LoraHubOptions,
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

/**
 * LoRAHub: one adapter of several, for a task of which there are a few examples. Tensor by tensor Â = Σ wᵢAᵢ and B̂ = Σ wᵢBᵢ, so that products mix; the weights w, within [−bound, bound] and 0 at the start, are those of the least
 * mean loss plus `l1`·mean|w| that a search without gradients finds (Nelder–Mead, where the authors leave the choice to nevergrad). All adapters must be alike, LoRA or another method whose tensors may be summed. Throws `bad-option`, and `diverged` where no weights give a finite loss.
 * Huang et al., 2023. https://arxiv.org/abs/2307.13269. As the authors' code has it but for the search, https://github.com/sail-sg/lorahub
 */
export const loraHub = async <M extends TaskModel>(
  adapters: readonly Adapted<M>[],
  options: LoraHubOptions,
): Promise<ComposedLora<M>> => {
  checkOptions('loraHub', rules, options);
  const problems = problemsOf(adapters);
  if (problems.length > 0) throw new PeftError('bad-option', `loraHub: ${problems.join('; ')}`);
  const { executor, evaluations = 40, bound = 1.5, l1 = 0.05 } = options;
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
  try {
    const lossOf = async (weights: readonly number[]): Promise<number> => {
      await compose(weights);
      return measure();
    };
    const penalized = async (weights: readonly number[]): Promise<number> =>
      (await lossOf(weights)) + (l1 * weights.reduce((sum, w) => sum + Math.abs(w), 0)) / weights.length;
    const zeros = adapters.map(() => 0);
    const { point, value } = await nelderMead(penalized, zeros, { bound, evaluations, size: bound / 3 });
    if (!Number.isFinite(value)) throw new PeftError('diverged', 'loraHub: no weights give a finite loss');
    return { adapted, weights: point, loss: await lossOf(point) };
  } finally {
    close();
  }
};
