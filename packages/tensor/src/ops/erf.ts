import { exp } from './exp.ts';
import { mul } from './mul.ts';
import { neg } from './neg.ts';
import { type Unary, unary } from './unary.ts';

const slopeAtZero = 2 / Math.sqrt(Math.PI);

/**
 * erf in double precision: e^(−x²) · 2/√π · Σ 2ⁿ x^(2n+1) / (2n+1)!!, whose terms share one sign; beyond ±6 it is ±1.
 * Abramowitz & Stegun, 1964, 7.1.6.
 */
export const erfOf = (x: number): number => {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return slopeAtZero * Math.exp(-x * x) * sum;
};

/** A WGSL expression of erf(x), within 1.5e-7 of it: Abramowitz & Stegun, 1964, 7.1.26. `x` is used several times: give a name. */
export const erfExpression = (x: string): string => {
  const t = `(1.0 / (1.0 + 0.3275911 * abs(${x})))`;
  const polynomial = [-1.453152027, 1.421413741, -0.284496736, 0.254829592].reduce(
    (inner, c) => `(${c} + ${t} * ${inner})`,
    '1.061405429',
  );
  return `(sign(${x}) * (1.0 - ${t} * ${polynomial} * exp(-(${x}) * (${x}))))`;
};

/** The error function, 2/√π ∫₀ˣ e^(−t²) dt. */
export const erf: Unary<'erf'> = unary({
  name: 'erf',
  body: erfExpression('x'),
  value: erfOf,
  vjp: ({ x, dy }) => mul(dy, mul(slopeAtZero, exp(neg(mul(x, x))))),
  range: [-3, 3],
  flops: 16,
});
