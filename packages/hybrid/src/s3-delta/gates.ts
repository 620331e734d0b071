/** A number of each candidate. */
export type Each = Float64Array;

/** The terms of the gates. */
export interface GateTerms {
  /** Structural parameters α. */
  readonly alphas: Each;
  /** Trained values of each candidate. */
  readonly sizes: Each;
  /** How many values may be trained, fewer than all have. */
  readonly most: number;
  /** Temperature β. */
  readonly beta: number;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Away from 0 and 1, where logits end. */
const least = 1e-7;
const inside = (p: number): number => Math.min(1 - least, Math.max(least, p));

/**
 * Probabilities of candidates under a budget: p = σ((α − ζ)/β), the same shift ζ for all, chosen so that Σ p·size = most.
 * Hu et al., 2022, section 3.3. https://arxiv.org/abs/2206.07382
 */
export const probabilities = ({ alphas, sizes, most, beta }: GateTerms): Each => {
  const expected = (shift: number): number =>
    alphas.reduce((sum, alpha, i) => sum + sigmoid((alpha - shift) / beta) * sizes[i]!, 0);
  // The sum falls as the shift grows.
  const far = 50 * beta;
  let [low, high] = [Math.min(...alphas) - far, Math.max(...alphas) + far];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (expected(middle) > most) low = middle;
    else high = middle;
  }
  return alphas.map((alpha) => inside(sigmoid((alpha - high) / beta)));
};

/** Gates z = σ(log u − log(1 − u) + log p − log(1 − p)) of uniform values u: the binary concrete distribution at temperature 1. Maddison et al., 2017. https://arxiv.org/abs/1611.00712 */
export const drawnGates = (p: Each, uniform: Each): Each =>
  p.map((v, i) => {
    const u = inside(uniform[i]!);
    return sigmoid(Math.log((u * v) / ((1 - u) * (1 - v))));
  });

/**
 * The gradient by α of a loss whose gradient by the gates is given: through z and p, with p divided by its sum and multiplied by it again, held fast, so that
 * candidates compete and the shift itself has no gradient.
 */
export const alphaGradient = (byGate: Each, gates: Each, p: Each, beta: number): Each => {
  const byP = p.map((v, i) => (byGate[i]! * gates[i]! * (1 - gates[i]!)) / (v * (1 - v)));
  const total = p.reduce((a, b) => a + b, 0);
  const mean = p.reduce((sum, v, i) => sum + v * byP[i]!, 0) / total;
  return p.map((v, i) => ((byP[i]! - mean) * v * (1 - v)) / beta);
};

/** The candidates of the highest probability that fit the budget together: each in turn, where there is room for it. */
export const fitting = (p: Each, sizes: Each, most: number): readonly number[] => {
  const order = [...p.keys()].sort((a, b) => p[b]! - p[a]! || a - b);
  let left = most;
  return order.filter((i) => {
    const fits = sizes[i]! <= left;
    if (fits) left -= sizes[i]!;
    return fits;
  });
};
