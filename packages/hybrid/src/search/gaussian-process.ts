import { CholeskyDecomposition, Matrix } from 'ml-matrix';

/** Mean and standard deviation of a prediction. */
export interface Prediction {
  readonly mean: number;
  readonly deviation: number;
}

/** Logarithms of what a kernel has: signal σ², noise, the scale τ of the weights, the weight ρ of each coordinate. */
interface Parameters {
  readonly signal: number;
  readonly noise: number;
  readonly scale: number;
  readonly weights: readonly number[];
}

const root5 = Math.sqrt(5);

/** ρ-weighted squared distance. */
const distance = (a: readonly number[], b: readonly number[], weights: readonly number[]): number =>
  weights.reduce((sum, w, d) => sum + w * (a[d]! - b[d]!) ** 2, 0);

/** Matérn's kernel of smoothness 5/2, of a squared distance, without its signal. */
const matern = (squared: number): number => {
  const r = root5 * Math.sqrt(squared);
  return (1 + r + (r * r) / 3) * Math.exp(-r);
};

/** Its derivative in the squared distance. */
const maternSlope = (squared: number): number => {
  const r = root5 * Math.sqrt(squared);
  return (-5 / 6) * (1 + r) * Math.exp(-r);
};

/** The slope in log v of the density of log v, where v is half-Cauchy of a scale: −log(1 + (v/scale)²) + log v. */
const halfCauchySlope = (v: number, scale: number): number => 1 - (2 * v * v) / (scale * scale + v * v);

const asMatrix = (n: number, value: (i: number, j: number) => number): Matrix => {
  const m = Matrix.zeros(n, n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) m.set(i, j, value(i, j));
  return m;
};

/** The kernel's matrix of places, and what the data say given it. */
const solved = (
  xs: readonly (readonly number[])[],
  ys: Matrix,
  { signal, noise, weights }: Parameters,
): { readonly squared: Matrix; readonly inverse: Matrix; readonly alpha: Matrix } => {
  const rho = weights.map(Math.exp);
  const squared = asMatrix(xs.length, (i, j) => distance(xs[i]!, xs[j]!, rho));
  const kernel = asMatrix(
    xs.length,
    (i, j) => Math.exp(signal) * matern(squared.get(i, j)) + (i === j ? Math.exp(noise) + 1e-6 : 0),
  );
  const inverse = new CholeskyDecomposition(kernel).solve(Matrix.eye(xs.length));
  return { squared, inverse, alpha: inverse.mmul(ys) };
};

/** The slopes of the log posterior in every parameter. */
const slopes = (xs: readonly (readonly number[])[], ys: Matrix, at: Parameters): Parameters => {
  const { squared, inverse, alpha } = solved(xs, ys, at);
  const n = xs.length;
  const [signal, noise, tau] = [at.signal, at.noise, at.scale].map(Math.exp) as [number, number, number];
  const weights = at.weights.map(Math.exp);
  const byWeight = weights.map(() => 0);
  let bySignal = 0;
  let byNoise = 0;
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      const pull = (alpha.get(i, 0) * alpha.get(j, 0) - inverse.get(i, j)) / 2;
      const s = squared.get(i, j);
      bySignal += pull * signal * matern(s);
      if (i === j) byNoise += pull * noise;
      const slope = pull * signal * maternSlope(s);
      for (const [d, w] of weights.entries()) byWeight[d]! += slope * w * (xs[i]![d]! - xs[j]![d]!) ** 2;
    }
  return {
    signal: bySignal - at.signal, // log σ² from N(0, 1)
    noise: byNoise - (at.noise + 4) / 4, // log noise from N(−4, 2²)
    scale: halfCauchySlope(tau, 0.1) + weights.reduce((sum, w) => sum - 1 + (2 * w * w) / (tau * tau + w * w), 0),
    weights: byWeight.map((slope, d) => slope + halfCauchySlope(weights[d]!, tau)),
  };
};

/** Adam's steps up the posterior, in one vector. */
const climbed = (xs: readonly (readonly number[])[], ys: Matrix, start: Parameters): Parameters => {
  const flat = ({ signal, noise, scale, weights }: Parameters): number[] => [signal, noise, scale, ...weights];
  const named = ([signal, noise, scale, ...weights]: readonly number[]): Parameters => ({
    signal: signal!,
    noise: noise!,
    scale: scale!,
    weights,
  });
  let at = flat(start);
  let [first, second] = [at.map(() => 0), at.map(() => 0)];
  for (let step = 1; step <= 80; step++) {
    const g = flat(slopes(xs, ys, named(at)));
    first = first.map((m, i) => 0.9 * m + 0.1 * g[i]!);
    second = second.map((v, i) => 0.99 * v + 0.01 * g[i]! ** 2);
    at = at.map((v, i) => {
      const move = first[i]! / (1 - 0.9 ** step) / (Math.sqrt(second[i]! / (1 - 0.99 ** step)) + 1e-8);
      return Math.min(6, Math.max(-12, v + 0.15 * move));
    });
  }
  return named(at);
};

/**
 * A Gaussian process fitted to values at places: a Matérn kernel of smoothness 5/2 with a weight ρ of each coordinate, which few coordinates
 * get much of: τ ~ HalfCauchy(0.1), ρ ~ HalfCauchy(τ) (SAAS: Eriksson & Jankowiak, 2021, https://arxiv.org/abs/2103.00349), at the mode
 * of the posterior instead of samples of it. Values are brought to mean 0 and deviation 1 first, and predictions back.
 */
export const gaussianProcess = (
  xs: readonly (readonly number[])[],
  values: readonly number[],
): ((x: readonly number[]) => Prediction) => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const spread = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length) || 1;
  const ys = Matrix.columnVector(values.map((v) => (v - mean) / spread));
  const fitted = climbed(xs, ys, { signal: 0, noise: -4, scale: -2, weights: (xs[0] ?? []).map(() => -1) });
  const { inverse, alpha } = solved(xs, ys, fitted);
  const [signal, rho] = [Math.exp(fitted.signal), fitted.weights.map(Math.exp)];
  return (x) => {
    const near = Matrix.columnVector(xs.map((other) => signal * matern(distance(x, other, rho))));
    const known = near.transpose().mmul(inverse).mmul(near).get(0, 0);
    return {
      mean: mean + spread * near.transpose().mmul(alpha).get(0, 0),
      deviation: spread * Math.sqrt(Math.max(1e-12, signal - known)),
    };
  };
};
