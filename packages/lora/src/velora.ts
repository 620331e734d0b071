import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  oneOf,
  positive,
  targets,
  zeros,
} from '@peftjs/core';
import {
  add,
  div,
  equal,
  matmul,
  maximum,
  mean,
  mul,
  normalValues,
  pad,
  reshape,
  select,
  sizeOf,
  sqrt,
  stopGradient,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { type LoraOptions, loraOptions, rankAndScaleOf } from './low-rank.ts';
import { variantConfig, variantFiles } from './variant-files.ts';

/** The direction on which parts of inputs are projected: the mean of those of the batch, or one drawn once. */
export type VeloraDirection = 'batch_average' | 'random';

/** Options of `velora`. */
export interface VeloraOptions extends LoraOptions {
  /** Parts g of an input, of each of which one number is kept for the backward pass. Default 64. */
  readonly groups?: number;
  /** Factor of the gradient of A. Default 1. */
  readonly gradientScale?: number;
  /** Default `batch_average`. */
  readonly direction?: VeloraDirection;
}

/** A vector of length 1; of a zero one, that of equal entries. */
const normalized = (v: Tensor): Tensor => {
  const squared = sum(mul(v, v));
  const [size] = v.shape as readonly [number];
  return select(equal(squared, 0), mul(add(mul(v, 0), 1), 1 / Math.sqrt(size)), div(v, sqrt(maximum(squared, 1e-30))));
};

/**
 * VeLoRA: LoRA whose backward pass keeps `groups` numbers of each input in place of all of it. For the gradient of A, and for that alone, x is taken for
 * `gradientScale`·Σ ⟨xᵍ, e⟩·e by parts xᵍ of in/groups entries (the last filled up with zeros), e the direction of the mean part of the batch. All else is LoRA: function, files (e is in
 * them), merging. Throws as `lora`. `batch_average_once` of Hugging Face PEFT, which keeps e of the first batch it sees, is refused.
 * Miles, Reddy, Elezi & Deng, 2024. https://arxiv.org/abs/2405.17991
 */
export const velora: MethodFactory<VeloraOptions> = defineMethod<VeloraOptions>({
  name: 'velora',
  formula: {
    merges: true,
    options: {
      ...loraOptions,
      target: targets('target_modules', familyTarget('lora')),
      groups: count('velora_config.num_groups', 64),
      gradientScale: positive('velora_config.scale', 1),
      direction: oneOf('velora_config.init_type', ['batch_average', 'random'], 'batch_average'),
    },
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'velora', (base, own, path) => {
        const { groups, gradientScale, direction, dropout } = options;
        const { inDim, outDim } = base;
        const { rank, scale } = rankAndScaleOf(path, options);
        const part = Math.ceil(inDim / groups);
        const filledUp = (t: Tensor): Tensor =>
          reshape(pad(t, { axis: -1, before: 0, after: groups * part - inDim }), [-1, groups, part]);
        const a = own.param('lora_A.weight', [rank, inDim], kaimingUniform);
        const b = own.param('lora_B.weight', [outDim, rank], zeros);
        const drawn = own.buffer('lora_velora_embed', [part], (shape, random) => {
          if (direction !== 'random') return new Float32Array(part);
          const values = normalValues(sizeOf(shape), 1, random);
          const length = Math.hypot(...values);
          return values.map((v) => v / length);
        });
        /** x·Aᵀ, [..., rank]; the second term is zero, and has the gradient of A. */
        const compressed = (x: Tensor): Tensor => {
          const parts = stopGradient(filledUp(x)); // [tokens, groups, part]
          const e = direction === 'random' ? drawn : normalized(mean(parts, { axes: [0, 1] }));
          const along = (t: Tensor): Tensor => reshape(matmul(t, reshape(e, [part, 1])), [-1, groups]);
          const kept = mul(along(parts), gradientScale); // [tokens, groups]
          const ofA = along(filledUp(a)); // [rank, groups]
          const update = matmul(kept, sub(ofA, stopGradient(ofA)), { transposeB: true });
          const low = matmul(x, stopGradient(a), { transposeB: true });
          return add(low, reshape(update, low.shape));
        };
        return addDelta(base, {
          apply: (x, { pass }) => {
            const dropped = own.dropout(x, dropout);
            const low = pass.training ? compressed(dropped) : matmul(dropped, a, { transposeB: true });
            return matmul(mul(low, scale), b, { transposeB: true });
          },
          dense: () => mul(matmul(b, a), scale),
        });
      }),
  },
  files: { ...variantFiles('velora', 'velora_config'), config: variantConfig },
  card: {
    about: 'low-rank updates that keep few numbers of each input for the backward pass',
    paper: {
      authors: 'Miles et al.',
      year: 2024,
      title: 'VeLoRA: Memory Efficient Training using Rank-1 Sub-Token Projections',
      url: 'https://arxiv.org/abs/2405.17991',
    },
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
