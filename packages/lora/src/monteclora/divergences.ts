import { add, constant, div, log, mul, sub, sum, type Tensor } from '@peftjs/tensor';

/** Terms that take an argument to where the series are exact in f32. */
const shift = 8;

const overShifts = (x: Tensor, term: (t: Tensor) => Tensor): Tensor =>
  Array.from({ length: shift }, (_, k) => term(add(x, k))).reduce((a, b) => add(a, b));

/** log Γ(x) of x above 0, by Stirling's series at x + 8. Abramowitz & Stegun, 1964, 6.1.41. */
export const logGamma = (x: Tensor): Tensor => {
  const z = add(x, shift);
  const inverse = div(1, z);
  const square = mul(inverse, inverse);
  const tail = mul(inverse, add(mul(add(mul(square, 1 / 1260), -1 / 360), square), 1 / 12));
  const main = add(sub(mul(sub(z, 0.5), log(z)), z), 0.5 * Math.log(2 * Math.PI));
  return sub(add(main, tail), overShifts(x, log));
};

/** ψ(x), the derivative of log Γ, of x above 0. Abramowitz & Stegun, 1964, 6.3.18. */
export const digamma = (x: Tensor): Tensor => {
  const z = add(x, shift);
  const inverse = div(1, z);
  const square = mul(inverse, inverse);
  const tail = mul(square, add(mul(add(mul(square, 1 / 252), -1 / 120), square), 1 / 12));
  return sub(
    sub(sub(log(z), mul(inverse, 0.5)), tail),
    overShifts(x, (t) => div(1, t)),
  );
};

/** KL(Dir(α) ‖ Dir(prior, prior, …)) of α [n]: shape []. */
export const dirichletDivergence = (alpha: Tensor, prior: number): Tensor => {
  const [total, n] = [sum(alpha), alpha.shape[0]!];
  const ofPrior = (x: number): Tensor => logGamma(constant(Float32Array.of(x), []));
  const own = sub(logGamma(total), sum(logGamma(alpha)));
  const norms = add(own, sub(mul(ofPrior(prior), n), ofPrior(n * prior)));
  return add(norms, sum(mul(sub(alpha, prior), sub(digamma(alpha), digamma(total)))));
};

/** ½·(Σ v − Σ log v − n) of variances [n]: the divergence of N(0, diag(v)) from N(0, I); shape []. */
export const gaussianDivergence = (variances: Tensor): Tensor =>
  mul(sub(sub(sum(variances), sum(log(variances))), variances.shape[0]!), 0.5);
