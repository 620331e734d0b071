/** A WGSL expression of σ(x) whose exponential can't overflow, so that no infinity arises, which WGSL leaves undefined. */
export const sigmoidExpression: string = 'select(exp(-abs(x)), 1.0, x >= 0.0) / (1.0 + exp(-abs(x)))';

/** A WGSL expression of erf(x), within 1.5e-7 of it: Abramowitz & Stegun, 1964, 7.1.26. `x` is used several times: give a name. */
export const erfExpression = (x: string): string => {
  const t = `(1.0 / (1.0 + 0.3275911 * abs(${x})))`;
  const polynomial = [-1.453152027, 1.421413741, -0.284496736, 0.254829592].reduce(
    (inner, c) => `(${c} + ${t} * ${inner})`,
    '1.061405429',
  );
  return `(sign(${x}) * (1.0 - ${t} * ${polynomial} * exp(-(${x}) * (${x}))))`;
};

/** √(2/π)·(x + 0.044715·x³), the argument of tanh in GELU's approximation. */
const geluArgument = `(${Math.sqrt(2 / Math.PI)} * x * (1.0 + ${0.044715} * x * x))`;

/** A WGSL expression of GELU by either formula. */
export const geluExpression = (approximate: 'none' | 'tanh' = 'none'): string =>
  approximate === 'tanh'
    ? `0.5 * x * (1.0 + select(tanh(${geluArgument}), sign(x), abs(x) > 10.0))`
    : `0.5 * x * (1.0 + ${erfExpression(`(x * ${Math.SQRT1_2})`)})`;

/** WGSL's own `pow` is undefined for negative bases and for 0⁰: even and odd powers are told apart here. */
export const powExpression: string =
  'select(pow(abs(a), b) * select(1.0, 1.0 - 2.0 * (abs(b) % 2.0), a < 0.0), 1.0, b == 0.0)';
