import type { Gpt2Config } from '../src/index.ts';

/** What the plain-loop models share: they are written from the papers, use nothing of the package, and are there for comparison. */
export type Row = number[];
export type Weights = ReadonlyMap<string, ArrayLike<number>>;

/** Extra rows that methods add: before the embedded tokens, or to the keys and values of every head of every layer. */
export interface Extras {
  readonly prompt?: readonly Row[];
  /** Key and value by [layer][row], each of all key heads · headDim numbers. */
  readonly prefix?: { readonly keys: readonly (readonly Row[])[]; readonly values: readonly (readonly Row[])[] };
}

/** a · b[bStart …]. */
export const dot = (a: ArrayLike<number>, b: ArrayLike<number>, bStart = 0): number => {
  let s = 0;
  for (let i = 0; i < a.length; i++) s += a[i]! * b[bStart + i]!;
  return s;
};

/** One row through a layer of [outDim, inDim]. */
export const linear = (weights: Weights, path: string, x: Row, outDim: number): Row =>
  Array.from(
    { length: outDim },
    (_, o) => dot(x, weights.get(`${path}.weight`)!, o * x.length) + (weights.get(`${path}.bias`)?.[o] ?? 0),
  );

/** Row `i` of a table of rows of `width`. */
export const tableRow = (table: ArrayLike<number>, i: number, width: number): Row =>
  Array.from({ length: width }, (_, j) => table[i * width + j]!);

/** The mean of values weighted by the softmax of scores: query · key / √headDim, unless said otherwise. */
export const attended = (
  query: Row,
  keys: readonly Row[],
  values: readonly Row[],
  score: (product: number, key: number) => number = (product) => product / Math.sqrt(query.length),
): Row => {
  const scores = keys.map((key, i) => Math.exp(score(dot(query, key), i)));
  const total = scores.reduce((a, b) => a + b, 0);
  return query.map((_, i) => scores.reduce((s, p, j) => s + (p / total) * values[j]![i]!, 0));
};

/** Mean −log p(label), over labels that are not −100. */
export const naiveLoss = (logits: readonly Row[], labels: readonly number[]): number => {
  const losses = labels.flatMap((label, t) =>
    label === -100 ? [] : [Math.log(logits[t]!.reduce((s, l) => s + Math.exp(l), 0)) - logits[t]![label]!],
  );
  return losses.length === 0 ? 0 : losses.reduce((a, b) => a + b, 0) / losses.length;
};

/** LayerNorm of one row. */
export const normed = (weights: Weights, path: string, x: Row, eps: number): Row => {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  const variance = x.reduce((s, v) => s + (v - mean) ** 2, 0) / x.length;
  const [gain, shift] = [weights.get(`${path}.weight`)!, weights.get(`${path}.bias`)!];
  return x.map((v, i) => ((v - mean) / Math.sqrt(variance + eps)) * gain[i]! + shift[i]!);
};

/** The normal distribution function by Simpson's rule from 0 on. */
const normal = (x: number): number => {
  const density = (t: number): number => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  const steps = 2000;
  const h = x / steps;
  let s = density(0) + density(x);
  for (let i = 1; i < steps; i++) s += (i % 2 === 1 ? 4 : 2) * density(i * h);
  return 0.5 + (s * h) / 3;
};

/** Of one number. */
export const activations: { readonly [A in Gpt2Config['activation']]: (x: number) => number } = {
  'gelu-tanh': (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gelu: (x) => x * normal(x),
  'quick-gelu': (x) => x / (1 + Math.exp(-1.702 * x)),
  relu: (x) => Math.max(0, x),
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: Math.tanh,
};
