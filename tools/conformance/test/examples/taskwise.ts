import { eachLinear, kaimingUniform, type Method, normal } from '@peftjs/core';
import { add, gather, matmul, mul, reshape } from '@peftjs/tensor';
import { example, target } from './example.ts';

/** LoRA with a diagonal between its factors for each task; batches say the task of a row. Yang et al., 2024 (MTL-LoRA). https://arxiv.org/abs/2410.09437 */
export const taskwise = (tasks: number): Method =>
  example('taskwise', (model, scope) => ({
    ...eachLinear(model, scope, target, 'taskwise', (base, own) => {
      const a = own.param('a', [2, base.inDim], kaimingUniform);
      const b = own.param('b', [base.outDim, 2], normal(1));
      const lambda = own.param('lambda', [tasks, 2], normal(1));
      return {
        ...base,
        apply: (x, call) => {
          const diagonal = reshape(gather(lambda, call.pass.inputs['task']!), [call.pass.batch, 1, 2]);
          const low = mul(matmul(x, a, { transposeB: true }), diagonal);
          return add(base.apply(x, call), matmul(low, b, { transposeB: true }));
        },
      };
    }),
    columns: { task: { shape: [], dtype: 'i32' } },
  }));
