import { add } from './add.ts';
import { mul } from './mul.ts';
import { sigmoid } from './sigmoid.ts';
import { sub } from './sub.ts';
import { type Unary, unary } from './unary.ts';

/** silu(x) = x·σ(x). Elfwing, Uchibe & Doya, 2017. https://arxiv.org/abs/1702.03118 */
export const silu: Unary<'silu'> = unary({
  name: 'silu',
  value: (x) => x / (1 + Math.exp(-x)),
  vjp: ({ x, dy }) => {
    const s = sigmoid(x);
    return mul(dy, mul(s, add(mul(x, sub(1, s)), 1)));
  },
  range: [-6, 6],
  flops: 4,
});
