/** Moments and steps so far. */
export interface AdamState {
  readonly mean: Float64Array;
  readonly square: Float64Array;
  readonly steps: number;
}

/** The state before the first step. */
export const freshAdam = (size: number): AdamState => ({
  mean: new Float64Array(size),
  square: new Float64Array(size),
  steps: 0,
});

/** Values after a step of Adam (β 0.9 unless told otherwise and 0.999, ε 1e-8), and the state then; nothing is changed in place. Kingma & Ba, 2014. https://arxiv.org/abs/1412.6980 */
export const adamStep = (
  values: Float64Array,
  gradient: Float64Array,
  rate: number,
  { mean, square, steps }: AdamState,
  beta1 = 0.9,
): { readonly values: Float64Array; readonly state: AdamState } => {
  const next = {
    mean: mean.map((m, i) => beta1 * m + (1 - beta1) * gradient[i]!),
    square: square.map((v, i) => 0.999 * v + 0.001 * gradient[i]! ** 2),
    steps: steps + 1,
  };
  const [first, second] = [1 - beta1 ** next.steps, 1 - 0.999 ** next.steps];
  const step = (i: number): number => (rate * next.mean[i]!) / first / (Math.sqrt(next.square[i]! / second) + 1e-8);
  return { values: values.map((v, i) => v - step(i)), state: next };
};

/** √Σx². */
export const lengthOf = (x: Float64Array): number => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));

/** x, or x scaled to a length. */
export const clipped = (x: Float64Array, most: number): Float64Array => {
  const length = lengthOf(x);
  return length > most ? x.map((v) => (v * most) / length) : x;
};
