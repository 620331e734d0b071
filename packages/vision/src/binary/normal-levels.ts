/** The share of a standard normal distribution below x. Marsaglia, 2004. https://doi.org/10.18637/jss.v011.i04 */
const below = (x: number): number => {
  let [term, sum] = [x, x];
  for (let odd = 3; Math.abs(term) > 1e-17 * Math.abs(sum); odd += 2) {
    term *= (x * x) / odd;
    sum += term;
  }
  return 0.5 + sum * Math.exp(-0.5 * x * x - 0.5 * Math.log(2 * Math.PI));
};

/** The value that such a share of a standard normal distribution lies below, by halving. */
const quantile = (share: number): number => {
  let [low, high] = [-7, 7];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (below(middle) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
};

const middles = (values: readonly number[]): number[] => values.slice(1).map((v, i) => (v + values[i]!) / 2);

/** The levels that stand for values of a standard normal distribution, rising, and the bounds between them. */
export interface NormalLevels {
  readonly levels: readonly number[];
  readonly bounds: readonly number[];
}

const known = new Map<number, NormalLevels>();

/**
 * 2^bits levels, each the median of the values between the bounds beside it, which are midway between levels: the least mean |error| (0.674 and −0.674 for one bit). Found by going from bounds to
 * medians and back 500 times, as in the authors' code. Jie, Wang & Deng, 2023. https://arxiv.org/abs/2307.16867
 */
export const normalLevels = (bits: number): NormalLevels => {
  const found = known.get(bits);
  if (found) return found;
  let levels = Array.from({ length: 2 ** bits }, () => 0);
  for (let round = 0; round < 500; round++) {
    const shares = [0, ...middles(levels).map(below), 1];
    levels = middles(shares).map(quantile);
  }
  const made = { levels, bounds: middles(levels) };
  known.set(bits, made);
  return made;
};
