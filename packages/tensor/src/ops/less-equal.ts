import type { Binary } from './binary.ts';
import { comparison } from './comparison.ts';

/** f32 1 where a ≤ b, else 0; broadcast. Throws `bad-shape`, `bad-dtype`. */
export const lessEqual: Binary<'less_equal'> = comparison('less_equal', (a, b) => a <= b);
