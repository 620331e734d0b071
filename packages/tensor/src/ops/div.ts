import { type Binary, binary } from './binary.ts';
import { mul } from './mul.ts';
import { neg } from './neg.ts';

/** a / b for f32, broadcast. Throws `bad-shape`, `bad-dtype`. */
export const div: Binary<'div'> = binary({
  name: 'div',
  value: (a, b) => a / b,
  vjp: ({ b, out, dy }) => {
    const da = div(dy, b);
    return { a: da, b: neg(mul(da, out)) };
  },
  ranges: { b: [0.5, 2] },
});
