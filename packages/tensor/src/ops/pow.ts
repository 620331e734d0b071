import { type Binary, binary } from './binary.ts';
import { equal } from './equal.ts';
import { greater } from './greater.ts';
import { log } from './log.ts';
import { mul } from './mul.ts';
import { select } from './select.ts';
import { sub } from './sub.ts';

/**
 * aᵇ for f32, broadcast. Negative bases take integer exponents only; with others the result is unspecified.
 * The gradient by b is zero where a ≤ 0. Throws `bad-shape`, `bad-dtype`.
 */
export const pow: Binary<'pow'> = binary({
  name: 'pow',
  value: (a, b) => a ** b,
  vjp: ({ a, b, out, dy }) => {
    const positive = greater(a, 0);
    const slope = select(equal(b, 0), 0, mul(b, pow(a, sub(b, 1))));
    return { a: mul(dy, slope), b: mul(dy, mul(out, select(positive, log(select(positive, a, 1)), 0))) };
  },
  ranges: { a: [0.5, 2], b: [-2, 3] },
  flops: 4,
});
