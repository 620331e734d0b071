import type { Option } from '@peftjs/core';

/** How trained coefficients begin: at zero, or drawn from N(0, 1). */
export type CoefficientsInit = 'normal' | 'zeros';

/** The option of it, `init_weights` in files, where it says whether they begin at zero. */
export const coefficientsInit = (fallback: CoefficientsInit): Option<CoefficientsInit> => ({
  key: 'init_weights',
  fallback: () => fallback,
  expected: 'one of normal, zeros',
  accepts: (v) => v === 'normal' || v === 'zeros',
  toJson: (init) => init === 'zeros',
  fromJson: (value) => (typeof value === 'boolean' ? (value ? 'zeros' : 'normal') : value),
});
