import { eachLinear, kaimingUniform, type Method, ones, zeros } from '@peftjs/core';
import { add, matmul, mul, softmax } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';

/** The shape of LoRA. */
export interface SelectedLoraOptions {
  readonly paths: readonly Path[];
  readonly rank: number;
  readonly alpha: number;
}

/** y = Wx + (alpha/r)·(B ∘ softmax(c))·A·x with a number c of each component, `selection` [rank], 1 at first. To look at, not to be saved. */
export const selectedLora = ({ paths, rank, alpha }: SelectedLoraOptions): Method => ({
  name: 'autoLora',
  merges: false,
  attach: (model, scope) =>
    eachLinear(model, scope, paths, 'autoLora', (base, own) => {
      const a = own.param('lora_A.weight', [rank, base.inDim], kaimingUniform);
      const b = own.param('lora_B.weight', [base.outDim, rank], zeros);
      const weights = mul(softmax(own.param('selection', [rank], ones)), alpha / rank);
      return {
        ...base,
        apply: (x, call) => {
          const low = mul(matmul(x, a, { transposeB: true }), weights); // [..., rank]
          return add(base.apply(x, call), matmul(low, b, { transposeB: true }));
        },
        dense: () => {
          const { weight, bias } = base.dense();
          return { weight: add(weight, matmul(mul(b, weights), a)), bias };
        },
      };
    }),
  config: () => ({}),
});
