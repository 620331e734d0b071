import type { PrepareOptions } from '@peftjs/core';
import { keepLargest, sumGradients } from '@peftjs/core/collect';
import type { Variable } from '@peftjs/tensor';
import { PeftError, type Random, randomSource } from '@peftjs/tensor';
import type { Inputs, Loss } from '@peftjs/transformer';

/** A way to say which weights of adapters stay: see `sparseAdapter`. */
export type Pruning = 'snip' | 'magnitude' | 'random' | 'erdosRenyi';

/** The entries of a matrix that stay. */
export interface Kept {
  /** Ascending, row · inDim + column each. */
  readonly places: ArrayLike<number>;
  /** Their first values; a file's are among its tensors. */
  readonly values?: ArrayLike<number>;
}

/** A matrix before it is pruned. */
export interface Dense {
  readonly variable: Variable;
  readonly values: ArrayLike<number>;
}

/** Adapters before they are pruned: their matrices by name, and the loss that they have. */
export interface DenseAdapters {
  readonly matrices: ReadonlyMap<string, Dense>;
  loss(inputs: Inputs): Loss;
}

const scoresOf = async (
  who: string,
  by: Exclude<Pruning, 'erdosRenyi'>,
  { matrices, loss }: DenseAdapters,
  random: (name: string) => Random,
  look: PrepareOptions,
): Promise<(name: string) => Float32Array> => {
  const names = [...matrices.keys()];
  const each = (name: string, score: (value: number) => number): Float32Array =>
    Float32Array.from(matrices.get(name)!.values, score);
  if (by === 'magnitude') return (name) => each(name, Math.abs);
  if (by === 'random') return (name) => each(name, random(name));
  const variables = new Map([...matrices].map(([name, { variable }]) => [name, variable]));
  const gradients = await sumGradients(who, loss, variables, look);
  const products = new Map(
    names.map((name) => [name, gradients.get(name)!.map((g, i) => Math.abs(g * matrices.get(name)!.values[i]!))]),
  );
  const largest = [...products.values()].reduce((n, all) => all.reduce((a, b) => Math.max(a, b), n), 0);
  if (largest === 0)
    throw new PeftError(
      'bad-option',
      `${who}: the loss of the examples does not depend on the adapters' first values, so snip cannot tell which to keep; let the examples have labels, and init not be mam`,
    );
  // Divided, since small products might vanish in f32.
  return (name) => Float32Array.from(products.get(name)!, (product) => product / largest);
};

/**
 * The share of each matrix that stays by Erdős and Rényi: ε·(n_in + n_out) / (n_in · n_out), 1 at most, with the ε by which the share `keep` of
 * all stays. Mocanu et al., 2018, https://arxiv.org/abs/1707.04780, as `get_sparsities_erdos_renyi` of https://github.com/google-research/rigl.
 */
export const erdosRenyi = (shapes: readonly (readonly [number, number])[], keep: number): number[] => {
  const size = shapes.map(([rows, columns]) => rows * columns);
  const raw = shapes.map(([rows, columns], i) => (rows + columns) / size[i]!);
  const whole = new Set<number>();
  for (;;) {
    const among = (of: (i: number) => number): number =>
      shapes.reduce((sum, _, i) => (whole.has(i) ? sum : sum + of(i)), 0);
    const left = keep * size.reduce((a, b) => a + b, 0) - [...whole].reduce((sum, i) => sum + size[i]!, 0);
    const epsilon = left / among((i) => raw[i]! * size[i]!);
    const full = shapes.flatMap((_, i) => (!whole.has(i) && epsilon * raw[i]! > 1 ? [i] : []));
    if (full.length === 0) return raw.map((r, i) => (whole.has(i) ? 1 : epsilon * r));
    for (const i of full) whole.add(i);
  }
};

/** The entries that stay, the share `keep` of all, by the name of the matrix. */
export const chooseKept = async (
  who: string,
  by: Pruning,
  dense: DenseAdapters,
  keep: number,
  seed: number,
  look: PrepareOptions,
): Promise<Readonly<Record<string, Kept>>> => {
  const names = [...dense.matrices.keys()];
  const score = await scoresOf(
    who,
    by === 'erdosRenyi' ? 'random' : by,
    dense,
    (name) => randomSource(seed, `${name}.mask`),
    look,
  );
  const places = new Map<string, Int32Array>();
  if (by === 'erdosRenyi') {
    const shapes = names.map((name) => dense.matrices.get(name)!.variable.shape as readonly [number, number]);
    const shares = erdosRenyi(shapes, keep);
    for (const [i, name] of names.entries()) {
      const largest = keepLargest(Math.max(1, Math.round(shares[i]! * shapes[i]![0] * shapes[i]![1])));
      largest.add(0, score(name));
      places.set(name, largest.places().get(0)!);
    }
  } else {
    const total = names.reduce((n, name) => n + dense.matrices.get(name)!.values.length, 0);
    const largest = keepLargest(Math.max(1, Math.floor(keep * total)));
    for (const [i, name] of names.entries()) largest.add(i, score(name));
    for (const [i, at] of largest.places()) places.set(names[i]!, at);
  }
  return Object.fromEntries(
    [...places].map(([name, at]) => {
      const { values } = dense.matrices.get(name)!;
      return [name, { places: at, values: Float32Array.from(at, (place) => values[place]!) }];
    }),
  );
};
