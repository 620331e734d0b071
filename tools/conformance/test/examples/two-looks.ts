import { eachLinear, eachSite, type Method, mergePatches, normal } from '@peftjs/core';
import { add, matmul, mul, slice, softmax, type Tensor } from '@peftjs/tensor';
import { slot } from '@peftjs/transformer';
import { example, target } from './example.ts';

/** How far each expert counts for each token: [batch, tokens, experts]. */
const scalings = slot<Tensor>('scalings');

/** Experts weighed by the states of a first pass in which all count alike. Buehler & Buehler, 2024 (X-LoRA). https://arxiv.org/abs/2402.07148 */
export const twoLooks = (experts: number): Method =>
  example('twoLooks', (model, scope) => {
    const router = scope.param('router', [experts, model.main.hiddenSize], normal(1));
    const look = eachSite(model, scope, 'model', () => (inputs, next, { pass }) => {
      pass.put(scalings, softmax(matmul(next(inputs).main, router, { transposeB: true })));
      return next(inputs);
    });
    const layers = eachLinear(model, scope, target, 'twoLooks', (base, own) => {
      const numbers = Array.from({ length: experts }, (_, i) => i);
      const [as, bs] = [
        numbers.map((i) => own.param(`a.${i}`, [2, base.inDim], normal(0.3))),
        numbers.map((i) => own.param(`b.${i}`, [base.outDim, 2], normal(0.3))),
      ];
      const expert = (x: Tensor, i: number): Tensor =>
        matmul(matmul(x, as[i]!, { transposeB: true }), bs[i]!, { transposeB: true });
      const share = (w: Tensor | undefined, i: number): Tensor | number =>
        w ? slice(w, { axis: 2, start: i, end: i + 1 }) : 1 / experts;
      const update = (x: Tensor, w: Tensor | undefined): Tensor =>
        numbers.map((i) => mul(expert(x, i), share(w, i))).reduce((y, z) => add(y, z));
      return { ...base, apply: (x, call) => add(base.apply(x, call), update(x, call.pass.get(scalings))) };
    });
    return mergePatches([layers, look]);
  });
