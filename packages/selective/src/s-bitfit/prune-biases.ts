import type { PrepareOptions } from '@peftjs/core';
import { keepLargest, sumGradients } from '@peftjs/core/collect';
import { add, constant, mul, type Tensor, type Variable } from '@peftjs/tensor';
import type { Linear, Model, Norm, Path, TaskModel } from '@peftjs/transformer';
import type { Mask } from '../masked/mask.ts';
import { type TunedFor, tune, zeroed } from '../masked/tune.ts';

/** How biases are pruned. */
export interface BiasPruning extends TunedFor {
  /** The share that is left of all biases, or of their vectors. */
  readonly keep: number;
  /** Whether vectors are pruned whole. */
  readonly structured: boolean;
  readonly rounds: number;
}

/** A layer with something added to its bias. */
export const shiftedLinear = (base: Linear, shift: Tensor): Linear => ({
  ...base,
  apply: (x, call) => add(base.apply(x, call), shift),
  dense: () => {
    const { weight, bias } = base.dense();
    return { weight, bias: bias ? add(bias, shift) : shift };
  },
});

/** A norm with something added to its bias. */
export const shiftedNorm = (base: Norm, shift: Tensor): Norm =>
  base.encode({ weight: base.weight, bias: base.bias ? add(base.bias, shift) : shift });

/** The length of the bias at a path: of a linear layer or a norm; undefined where there is neither. */
export const biasLength = ({ linears, norms }: Model, path: Path): number | undefined =>
  linears.get(path)?.outDim ?? norms.get(path)?.dim;

const withShifts = (model: TaskModel, shifts: ReadonlyMap<Path, Tensor>): TaskModel =>
  model.with({
    linears: new Map(
      [...shifts].flatMap(([path, s]) =>
        model.linears.has(path) ? [[path, shiftedLinear(model.linears.get(path)!, s)]] : [],
      ),
    ),
    norms: new Map(
      [...shifts].flatMap(([path, s]) =>
        model.norms.has(path) ? [[path, shiftedNorm(model.norms.get(path)!, s)]] : [],
      ),
    ),
  });

/** Places of what is left, by path. */
const best = (scores: ReadonlyMap<Path, Float64Array>, left: Mask, structured: boolean, count: number): Mask => {
  const paths = [...scores.keys()];
  const largest = keepLargest(count);
  for (const [i, path] of paths.entries()) {
    const own = Array.from(left[path] ?? []);
    const of = scores.get(path)!;
    if (own.length === 0) continue;
    // Places that are out stay out: they have no score to be among the largest by.
    if (structured) largest.add(i, [Math.abs(own.reduce((sum, at) => sum + of[at]!, 0))]);
    else
      largest.add(
        i,
        Float32Array.from(of, (s, at) => (own.includes(at) ? Math.abs(s) : -1)),
      );
  }
  return Object.fromEntries(
    [...largest.places()].map(([i, places]) => [paths[i]!, structured ? left[paths[i]!]! : places]),
  );
};

/**
 * The biases that are left: in each round those that still are are tuned, and pruned by |δ·g|, by which the loss changes to first order when the change δ of a bias is taken back, g the sum over batches of
 * the gradient of the mean loss; of a vector |Σ δ·g|. The number falls evenly by a factor, from all to the share `keep`. Throws `diverged`.
 */
export const pruneBiases = async (
  who: string,
  model: TaskModel,
  paths: readonly Path[],
  { keep, structured, rounds, ...time }: BiasPruning,
  look: PrepareOptions,
): Promise<Mask> => {
  const lengths = new Map(paths.map((path) => [path, biasLength(model, path)!]));
  const all = structured ? paths.length : [...lengths.values()].reduce((a, b) => a + b, 0);
  const changes = new Map(
    paths.map((path): [Path, Variable] => [path, zeroed(`${path}.bias_change`, [lengths.get(path)!])]),
  );
  let left: Mask = Object.fromEntries(
    paths.map((path) => [path, Int32Array.from({ length: lengths.get(path)! }, (_, i) => i)]),
  );
  try {
    for (let round = 1; round <= rounds; round++) {
      const open = new Map(
        [...changes].map(([path, change]): [Path, Tensor] => {
          const shut = new Float32Array(lengths.get(path)!);
          for (const at of Array.from(left[path] ?? [])) shut[at] = 1;
          return [path, mul(change, constant(shut, [shut.length]))];
        }),
      );
      const view = withShifts(model, open);
      await tune(who, (inputs) => view.loss(inputs), [...changes.values()], look, {
        ...time,
        steps: Math.ceil(time.steps / rounds),
      });
      const gradients = await sumGradients(who, (inputs) => view.loss(inputs), changes, look);
      const scores = new Map<Path, Float64Array>();
      for (const [path, change] of changes) {
        const now = await look.executor.read(change);
        scores.set(
          path,
          gradients.get(path)!.map((g, i) => g * now[i]!),
        );
      }
      left = best(scores, left, structured, Math.max(1, Math.floor(all * keep ** (round / rounds) + 1e-9)));
    }
  } finally {
    look.executor.release([...changes.values()]);
  }
  return left;
};
