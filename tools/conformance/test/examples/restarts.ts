import { eachLinear, kaimingUniform, type Method, zeros } from '@peftjs/core';
import { add, matmul, sizeOf, type Variable } from '@peftjs/tensor';
import { example, target } from './example.ts';

/** LoRA that adds BA to a stored sum at times, and begins anew. Lialin et al., 2023 (ReLoRA). https://arxiv.org/abs/2307.05695 */
export const restarts = (every: number): Method =>
  example('restarts', (model, scope) => {
    const layers: (readonly [a: Variable, b: Variable, stored: Variable])[] = [];
    const patch = eachLinear(model, scope, target, 'restarts', (base, own) => {
      const a = own.param('a', [2, base.inDim], kaimingUniform);
      const b = own.param('b', [base.outDim, 2], zeros);
      const stored = own.buffer('stored', [base.outDim, base.inDim], zeros);
      layers.push([a, b, stored]);
      const delta = add(stored, matmul(b, a));
      return { ...base, apply: (x, call) => add(base.apply(x, call), matmul(x, delta, { transposeB: true })) };
    });
    const run: NonNullable<typeof patch.decision>['run'] = async (_, between) => {
      for (const [a, b, stored] of layers) {
        await between.write(stored, (await between.compute({ sum: add(stored, matmul(b, a)) }))['sum']!);
        await between.write(b, new Float32Array(sizeOf(b.shape)));
      }
      await between.resetOptimizer(layers.flatMap((layer) => layer.slice(0, 2)));
      between.rewarm(2);
    };
    return { ...patch, decision: { due: (step) => step % every === 0, run } };
  });
