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

/** π in two parts; the first has 8 bits, so that whole multiples of it up to 2¹⁶ are exact in f32. */
const [piHigh, piLow] = ['3.140625', '9.67653589793e-4'];

/**
 * A WGSL expression of sin(x + quarters·π/2), within 3e-7 for |x| ≤ 1,000; WGSL's own need not be nearer than 2⁻¹¹. x is brought into half a turn
 * around a zero of the function, in two parts (Cody & Waite, 1980), and Taylor's series to the 11th power taken there.
 */
export const sineExpression = (quarters: 0 | 1): string => {
  const turns = quarters === 0 ? 'round(x * 0.318309886184)' : '(round(x * 0.318309886184 - 0.5) + 0.5)';
  const r = `((x - ${turns} * ${piHigh}) - ${turns} * ${piLow})`;
  const odd = quarters === 0 ? `abs(${turns} % 2.0)` : `abs((${turns} + 0.5) % 2.0)`;
  const series = ['2.7557319224e-6', '-1.9841269841e-4', '8.3333333333e-3', '-1.6666666667e-1', '1.0'].reduce(
    (inner, c) => `(${c} + ${r} * ${r} * ${inner})`,
    '-2.5052108385e-8',
  );
  return `((1.0 - 2.0 * ${odd}) * ${r} * ${series})`;
};
