import {
  addSparse,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  kaimingUniform,
  type MethodFactory,
  number,
  rate,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { matmul, mul, PeftError, type Variable } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';

/** Options of `supertuning`. */
export interface SupertuningOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** The share of a layer's weights that stays as it is. Default 0.99. */
  readonly sparsity?: number;
  /** Whether the weights of largest magnitude are trained, or else those of least. Default true. */
  readonly largest?: boolean;
  /** Rank of a LoRA beside them (Supra). Default 0: none. */
  readonly rank?: number;
  /** That LoRA is scaled by alpha / rank. Default: twice the rank. */
  readonly alpha?: number;
  /** Probability that an input of that LoRA is dropped while training. Default 0. */
  readonly dropout?: number;
}

/** Places of so many values of largest magnitude, or least, ascending; of equal ones the first. */
const extremes = (values: Float32Array, count: number, largest: boolean): Int32Array => {
  const sizes = values.map(Math.abs);
  const sorted = sizes.slice().sort();
  const limit = largest ? sorted[sorted.length - count]! : sorted[count - 1]!;
  const isBeyond = (size: number): boolean => (largest ? size > limit : size < limit);
  let atLimit = count - sizes.reduce((n, size) => n + (isBeyond(size) ? 1 : 0), 0);
  const places = new Int32Array(count);
  let next = 0;
  for (const [i, size] of sizes.entries()) if (isBeyond(size) || (size === limit && atLimit-- > 0)) places[next++] = i;
  return places;
};

/** Of a file nothing is taken on trust: a sparse product adds the values of a place only once. */
const checkPlaces = (path: Path, index: Variable, size: number): void => {
  const { init } = index.node;
  if (!ArrayBuffer.isView(init)) return;
  const places = new Set([...(init as Int32Array)].filter((at) => at >= 0 && at < size));
  if (places.size !== index.shape[0])
    throw new PeftError(
      'state-mismatch',
      `supertuning: ${path}.supertuning_indices must hold ${index.shape[0]} different places below ${size}, the weights of the layer; ${index.shape[0]! - places.size} are outside of it or there twice`,
    );
};

/**
 * Super-Tuning: y = (W + S)·x + b with S zero but for the weights of largest magnitude, or least, a share of 1 − `sparsity`, whose changes are trained, from 0, and saved with
 * their places. With `rank` a LoRA beside them (Supra): + (alpha/rank)·B·A·dropout(x), A of shape [rank, in] from U(−1/√in, 1/√in), B [out, rank] zero at the start. Nothing of shape [out, in] is
 * formed in a training step. A file without its places (`save_precomputed_indices`) is refused, since equal magnitudes leave them open. Merges. Throws `bad-option`, also when attached to a
 * layer of which nothing is left to train, and then `no-match` and `state-mismatch`.
 * Ilin et al., 2026. https://arxiv.org/abs/2607.09287
 */
export const supertuning: MethodFactory<SupertuningOptions> = defineMethod<SupertuningOptions>({
  name: 'supertuning',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      sparsity: rate('sparsity', 0.99),
      largest: flag('select_top', true),
      rank: { ...wholeNumber('r', 0), toJson: (rank) => (rank === 0 ? null : rank) },
      alpha: { ...number('lora_alpha', 0), fromJson: (v, { r }) => (r == null ? undefined : v) },
      // Hugging Face PEFT drops nothing without a rank, whatever its file says.
      dropout: { ...rate('lora_dropout', 0), fromJson: (v, { r }) => (r == null ? 0 : v) },
    },
    check: ({ rank = 0, alpha = 0, dropout = 0 }) =>
      rank === 0 && (alpha !== 0 || dropout > 0)
        ? 'alpha and dropout are those of a LoRA; give its rank, or leave them out'
        : null,
    attach: (model, scope, { target, sparsity, largest, rank, alpha, dropout }) =>
      eachLinear(model, scope, target, 'supertuning', (base, own, path) => {
        const { inDim, outDim } = base;
        const size = inDim * outDim;
        const count = Math.trunc(size * (1 - sparsity));
        if (count === 0)
          throw new PeftError(
            'bad-option',
            `supertuning: ${path}: sparsity ${sparsity} leaves none of its ${outDim} × ${inDim} weights to train; give a smaller one`,
          );
        const values = own.param('supertuning_values', [count], zeros);
        const index = own.buffer(
          'supertuning_indices',
          [count],
          async (_, __, compute) => extremes((await compute(base.dense().weight)) as Float32Array, count, largest),
          'i32',
        );
        checkPlaces(path, index, size);
        const sparse = addSparse(base, values, index);
        if (rank === 0) return sparse;
        const a = own.param('supertuning_lora_A.weight', [rank, inDim], kaimingUniform);
        const b = own.param('supertuning_lora_B.weight', [outDim, rank], zeros);
        const scale = alpha === 0 ? 2 : alpha / rank;
        return addDelta(sparse, {
          apply: (x) => {
            const low = matmul(own.dropout(x, dropout), a, { transposeB: true });
            return matmul(mul(low, scale), b, { transposeB: true });
          },
          dense: () => mul(matmul(b, a), scale),
        });
      }),
  },
  files: {
    peftType: 'SUPERTUNING',
    refuses: ({ save_precomputed_indices: saved }) =>
      saved === false
        ? 'save_precomputed_indices is false, so the file does not say which weights are changed, and equal magnitudes leave that open; save it with save_precomputed_indices=True'
        : null,
    config: (_, { rank, alpha }) => ({
      lora_alpha: rank === 0 ? null : alpha === 0 ? 2 * rank : alpha,
      init_weights: true,
      save_precomputed_indices: true,
    }),
  },
  card: {
    about: 'the weights of largest magnitude',
    paper: {
      authors: 'Ilin et al.',
      year: 2026,
      title: 'Super-Tuning: From Activation-Aware Pruning to Sparse Fine-Tuning',
      url: 'https://arxiv.org/abs/2607.09287',
    },
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
