import { defineMethod, eachLinear, familyTarget, type MethodFactory, targets } from '@peftjs/core';
import {
  add,
  div,
  matmul,
  maximum,
  mul,
  reshape,
  sqrt,
  stopGradient,
  sub,
  sum,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import type { Call, Linear } from '@peftjs/transformer';
import { type LoraOptions, type LowRank, loraOptions, lowRank } from './low-rank.ts';
import { fanInFanOut, notComputedInLora, refusedInLora } from './peft-config.ts';
import { variantOf } from './variant-of.ts';

const sumRows = (t: Tensor): Tensor => sum(t, { axes: [1] });
const squaredNorms = (weight: Tensor): Tensor => sumRows(mul(weight, weight));

/** W·Aᵀ, [out, rank]: within a pass as the rows of A through the layer, the cheapest route of its format. */
const projected = (base: Linear, a: Tensor, call: Call | null): Tensor => {
  const { weight, bias } = base.dense();
  if (!call) return matmul(weight, a, { transposeB: true });
  const rows = base.apply(a, call); // [rank, out]
  return transpose(bias ? sub(rows, bias) : rows, [1, 0]);
};

/** ‖W + sBA‖ of every row, [out], without forming it: ‖W‖² + 2s·(WAᵀ ∘ B) + s²·(BAAᵀ ∘ B), summed over rank. */
const rowNorms = (squared: Tensor, crossed: Tensor, { a, b, scale }: LowRank): Tensor => {
  const update = matmul(b, matmul(a, a, { transposeB: true })); // [out, rank]
  const all = add(squared, sumRows(mul(add(mul(crossed, 2 * scale), mul(update, scale * scale)), b)));
  return sqrt(maximum(all, 1e-30)); // a row of zeros stays one
};

/**
 * DoRA: y = g∘(Wx + s·B·A·dropout(x)) + bias with g = m / ‖W + sBA‖ by rows: LoRA trains directions, m of shape [out] lengths. The norm is a
 * constant to the gradient; m begins as the rows' norms of W, so the model as it was. A step costs LoRA's plus rank rows through the layer;
 * W + sBA is never formed, nor any other [out, in], unless an inner method changes W: then ‖W‖² is taken anew each step. Merge for fast
 * generation. Reads configurations of LoRA with `use_dora`. Merges. Throws as `lora`.
 * Liu et al., 2024. https://arxiv.org/abs/2402.09353
 */
export const dora: MethodFactory<LoraOptions> = defineMethod<LoraOptions>({
  name: 'dora',
  formula: {
    merges: true,
    options: { ...loraOptions, target: targets('target_modules', familyTarget('lora')) },
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'dora', (base, own, path) => {
        const delta = lowRank(base, own, path, options);
        const { outDim } = base;
        const frozen = base === model.linears.get(path);
        const live = squaredNorms(base.dense().weight);
        const squared = frozen ? own.running('weight_squared', [outDim], live) : live;
        const m = own.param('lora_magnitude_vector', [outDim], sqrt(live));
        const gains = (call: Call | null): Tensor =>
          div(m, stopGradient(rowNorms(squared, projected(base, delta.a, frozen ? call : null), delta)));
        return {
          ...base,
          apply: (x, call) => {
            const g = gains(call);
            const { bias } = base.dense();
            const y = mul(add(base.apply(x, call), delta.apply(x, call)), g);
            return bias ? add(y, mul(sub(1, g), bias)) : y; // the base's output holds the bias: undo its gain
          },
          dense: () => {
            const { weight, bias } = base.dense();
            return { weight: mul(add(weight, delta.dense()), reshape(gains(null), [outDim, 1])), bias };
          },
        };
      }),
  },
  files: {
    peftType: 'LORA',
    mixes: 'apart',
    reads: (config) => variantOf(config) === 'dora',
    computes: { ...notComputedInLora, use_dora: [true] },
    refuses: (config) => refusedInLora(config),
    config: (model) => ({ ...fanInFanOut(model), init_lora_weights: true, use_dora: true }),
  },
  card: {
    about: 'low-rank updates and the length of each row',
    paper: {
      authors: 'Liu et al.',
      year: 2024,
      title: 'DoRA: Weight-Decomposed Low-Rank Adaptation',
      url: 'https://arxiv.org/abs/2402.09353',
    },
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
