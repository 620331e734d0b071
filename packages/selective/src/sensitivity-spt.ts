import {
  count,
  defineMethod,
  eachLinear,
  kaimingUniform,
  type MethodFactory,
  type Option,
  positive,
  type Scope,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { eachGradient } from '@peftjs/core/collect';
import { add, matmul, mul } from '@peftjs/tensor';
import type { Linear, Path } from '@peftjs/transformer';
import { chooseLargest } from './masked/choose-largest.ts';
import { share } from './masked/define-masked.ts';
import { type Mask, maskedPaths, masks } from './masked/mask.ts';
import { sparseLayer } from './masked/sparse-layer.ts';

/** Options of `sensitivitySpt`. */
export interface SensitivitySptOptions {
  /** Whose weights may be chosen. Default: all linear layers but the output head. */
  readonly target?: Target;
  /** The share of those weights that counts as sensitive, in (0, 1]. Default 0.005. */
  readonly keep?: number;
  /** Rank of the update of layers with many sensitive weights. Default 8. */
  readonly rank?: number;
  /** Many: at least 1 / ratio of the values that such an update has. Default 10. */
  readonly ratio?: number;
  /** The layers that get such an update, instead of those that `prepare` chooses. */
  readonly lowRank?: readonly Path[];
  /** The weights that are trained one by one in other layers, instead of those that `prepare` chooses. */
  readonly mask?: Mask;
}

const lowRankPaths: Option<readonly Path[]> = {
  key: 'low_rank_modules',
  fallback: () => [],
  expected: 'a list of paths',
  accepts: (v) => Array.isArray(v) && v.every((path) => typeof path === 'string'),
};

/** y = (W + BA)x + b; A [rank, in], B [out, rank]. */
const lowRankLayer = (base: Linear, own: Scope, rank: number): Linear => {
  const a = own.param('lora_A', [rank, base.inDim], kaimingUniform);
  const b = own.param('lora_B', [base.outDim, rank], zeros);
  return {
    ...base,
    apply: (x, call) => add(base.apply(x, call), matmul(matmul(x, a, { transposeB: true }), b, { transposeB: true })),
    dense: () => {
      const { weight, bias } = base.dense();
      return { weight: add(weight, matmul(b, a)), bias };
    },
  };
};

/**
 * SPT, sensitivity-aware tuning: weights are sensitive that are among the share `keep` of the largest Σ g², g the gradient of the mean loss of each batch, over all layers together. A layer that has many of
 * them, at least r·(in + out) / `ratio`, is W + BA of rank r, A from U(−1/√in, 1/√in), B zero at the start; in the others the sensitive ones are trained alone, W + S with a sparse S, from 0. `prepare` chooses.
 * Biases, norms and embeddings are not chosen from. Merges. Throws as `fishMask`.
 * He, Cai, Zhang, Tao & Zhuang, 2023. https://arxiv.org/abs/2303.08566. As the authors' code has it, https://github.com/ziplab/SPT, without its dropped paths and its vectors.
 */
export const sensitivitySpt: MethodFactory<SensitivitySptOptions> = defineMethod<SensitivitySptOptions>({
  name: 'sensitivitySpt',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      keep: share('keep_ratio', 0.005),
      rank: count('r', 8),
      ratio: positive('ratio', 10),
      lowRank: lowRankPaths,
      mask: masks,
    },
    prepare: async (model, { target, keep, rank, ratio, lowRank, mask }, look) => {
      if (lowRank.length > 0 || Object.keys(mask).length > 0) return { lowRank, mask };
      const paths = target as readonly Path[]; // as a method is given them
      const sensitive = await chooseLargest(model, paths, keep, (take) =>
        eachGradient('sensitivitySpt', model, paths, look, take, (g) => mul(g, g)),
      );
      const hasMany = (path: Path): boolean => {
        const { inDim, outDim } = model.linears.get(path)!;
        return sensitive[path]!.length >= (rank * (inDim + outDim)) / ratio;
      };
      return {
        lowRank: Object.keys(sensitive).filter(hasMany),
        mask: Object.fromEntries(Object.entries(sensitive).filter(([path]) => !hasMany(path))),
      };
    },
    attach: (model, scope, { rank, lowRank, mask }) => {
      const many = new Set(lowRank);
      const chosen = maskedPaths(
        'sensitivitySpt',
        { ...mask, ...Object.fromEntries(lowRank.map((p) => [p, []])) },
        model,
      );
      return eachLinear(
        model,
        scope,
        (path) => chosen.has(path),
        'sensitivitySpt',
        (base, own, path) =>
          many.has(path) ? lowRankLayer(base, own, rank) : sparseLayer('sensitivitySpt', base, own, mask[path]!).layer,
      );
    },
  },
  files: { peftType: 'PEFTJS_SENSITIVITY_SPT' },
  card: {
    about: 'sensitive weights; low-rank updates where there are many',
    paper: {
      authors: 'He et al.',
      year: 2023,
      title: 'Sensitivity-Aware Visual Parameter-Efficient Fine-Tuning',
      url: 'https://arxiv.org/abs/2303.08566',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
