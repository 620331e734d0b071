import { eachLinear, kaimingUniform, type Method, normal, rDrop } from '@peftjs/core';
import { add, cast, floor, gather, matmul, mean, mul, reshape, type Tensor } from '@peftjs/tensor';
import { example, target } from './example.ts';

/**
 * Copies of a low-rank update: each training pass takes one of A and one of B at random, evaluation their means; two passes must agree.
 * Wang et al., 2022 (AdaMix). https://arxiv.org/abs/2205.12410
 */
export const mixture = (copies: number): Method =>
  example('mixture', (model, scope) => ({
    ...eachLinear(model, scope, target, 'mixture', (base, own) => {
      const a = own.param('a', [copies, 2, base.inDim], kaimingUniform);
      const b = own.param('b', [copies, base.outDim, 2], normal(0.1));
      const one = (w: Tensor): Tensor => {
        if (!own.draw) return mean(w, { axes: [0] });
        return reshape(gather(w, cast(floor(mul(own.draw([1]), copies)), { dtype: 'i32' })), w.shape.slice(1));
      };
      const [down, up] = [one(a), one(b)];
      const low = (x: Tensor): Tensor => matmul(matmul(x, down, { transposeB: true }), up, { transposeB: true });
      return { ...base, apply: (x, call) => add(base.apply(x, call), low(x)) };
    }),
    objective: () => rDrop({ weight: 1 }),
  }));
