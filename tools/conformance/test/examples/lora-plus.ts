import { eachLinear, kaimingUniform, type Method, zeros } from '@peftjs/core';
import { add, matmul } from '@peftjs/tensor';
import { example, target } from './example.ts';

/** LoRA whose B learns faster than its A. Hayou, Ghosh & Yu, 2024 (LoRA+). https://arxiv.org/abs/2402.12354 */
export const loraPlus = (rate: number): Method =>
  example('loraPlus', (model, scope) =>
    eachLinear(model, scope, target, 'loraPlus', (base, own) => {
      const a = own.param('a', [2, base.inDim], kaimingUniform);
      const b = own.param('b', [base.outDim, 2], zeros, { rate });
      return {
        ...base,
        apply: (x, call) =>
          add(base.apply(x, call), matmul(matmul(x, a, { transposeB: true }), b, { transposeB: true })),
      };
    }),
  );
