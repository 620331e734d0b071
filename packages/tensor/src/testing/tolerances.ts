/**
 * How far two computations of the same values may lie apart, as |a − b| / max(1, |b|). Every test takes its tolerance from here.
 */
export const tolerances = {
  /** The same arithmetic on the same executor: to the bit. */
  exact: 0,
  /** Two routes to one value in double precision, each rounded to f32 once, with f32 stored in between. */
  rounding: 2e-6,
  /** An analytic gradient and a central difference in double precision: what the third derivative leaves. */
  difference: 1e-5,
  /** A layer's values computed, rounded to f32 and used: what merging costs after all layers. */
  merged: 2e-5,
  /** One op in f32 and its definition in double precision. */
  op: 5e-5,
  /** The same, where the result is stored in half precision, of 11 bits. */
  half: 2e-3,
  /** Sine and cosine in WGSL, which promises no more: https://www.w3.org/TR/WGSL/#builtin-functions-accuracy */
  trigonometry: 5e-4,
  /** A whole forward or backward pass of a small model in f32 and in double precision. */
  pass: 2e-4,
} as const;
