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

/** The error function, 2/√π ∫₀ˣ e^(−t²) dt. */
export const erf: Unary<'erf'> = unary({
  name: 'erf',
  value: erfOf,
  vjp: ({ x, dy }) => mul(dy, mul(slopeAtZero, exp(neg(mul(x, x))))),
  range: [-3, 3],
  flops: 16,
});
