import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  normal,
  number,
  rate,
  type Target,
  targets,
  uniform,
} from '@peftjs/core';
import { gather, matmul, mul, PeftError, reshape, softmax, sum, type Tensor, topK, transpose } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';
import { fanInFanOut } from './peft-config.ts';

/** Options of `vblora`. */
export interface VbloraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of an update. Default 4. */
  readonly rank?: number;
  /** Vectors h in the bank. Default 256. */
  readonly vectors?: number;
  /** Values b of a vector, which divide inputs and outputs. Default 256. */
  readonly length?: number;
  /** Vectors k that a part of a matrix is mixed of. Default 2. */
  readonly mixed?: number;
  /** The bank is from U(−bound, bound). Default 0.02. */
  readonly bound?: number;
  /** The logits are from N(0, spread). Default 0.1. */
  readonly spread?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** Hugging Face PEFT's default, of which a T5 has the layers of its version. */
const defaultTarget = (model: Model): Target => {
  const names = model.layout.defaultTarget('vblora');
  if (!names) return familyTarget('lora')(model);
  return names.filter((name) => [...model.linears.keys()].some((path) => path.endsWith(`.${name}`)));
};

/**
 * VB-LoRA: y = Wx + B·A·dropout(x) with A [rank, in] and B [out, rank] cut into vectors of `length` values, each a mixture of those k of one bank, shared by all layers, that
 * have the largest logits: Σ softmax(top k logits)·bank. Trained are the bank [vectors, length] and the logits [rank, in/length, vectors] and
 * [out/length, rank, vectors]. Nothing of shape [out, in] is formed. The model begins almost as it was. A file of `save_only_topk_weights` is refused. Merges. Throws
 * `bad-option`, also when attached to a layer that `length` does not divide, and then `no-match`.
 * Li, Han & Ji, 2024. https://arxiv.org/abs/2405.15179
 */
export const vblora: MethodFactory<VbloraOptions> = defineMethod<VbloraOptions>({
  name: 'vblora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', defaultTarget),
      rank: count('r', 4),
      vectors: count('num_vectors', 256),
      length: count('vector_length', 256),
      mixed: count('topk', 2),
      bound: number('init_vector_bank_bound', 0.02),
      spread: number('init_logits_std', 0.1),
      dropout: rate('vblora_dropout', 0),
      bias: biases('vblora'),
    },
    check: ({ mixed = 2, vectors = 256 }) =>
      mixed > vectors ? `mixed ${mixed} is more than the ${vectors} vectors of the bank; give fewer` : null,
    attach: (model, scope, { target, rank, vectors, length, mixed, bound, spread, dropout }) => {
      const bank = scope.param('vblora_vector_bank', [vectors, length], uniform(bound));
      /** [..., vectors] -> [..., length] */
      const mixture = (logits: Tensor): Tensor => {
        const [largest, places] = topK(logits, { k: mixed });
        const shares = softmax(largest);
        return sum(mul(gather(bank, places), reshape(shares, [...shares.shape, 1])), { axes: [-2] });
      };
      return eachLinear(model, scope, target, 'vblora', (base, own, path) => {
        const { inDim, outDim } = base;
        if (inDim % length !== 0 || outDim % length !== 0)
          throw new PeftError(
            'bad-option',
            `vblora: ${path}: length ${length} does not divide ${outDim} × ${inDim}; give one that does`,
          );
        const logits = [
          own.param('vblora_logits_A', [rank, inDim / length, vectors], normal(spread)),
          own.param('vblora_logits_B', [outDim / length, rank, vectors], normal(spread)),
        ] as const;
        const factors = (): readonly [a: Tensor, b: Tensor] => [
          reshape(mixture(logits[0]), [rank, inDim]),
          reshape(transpose(mixture(logits[1]), [0, 2, 1]), [outDim, rank]),
        ];
        return addDelta(base, {
          apply: (x) => {
            const [a, b] = factors();
            return matmul(matmul(own.dropout(x, dropout), a, { transposeB: true }), b, { transposeB: true });
          },
          dense: () => {
            const [a, b] = factors();
            return matmul(b, a);
          },
        });
      });
    },
  },
  files: {
    peftType: 'VBLORA',
    refuses: ({ save_only_topk_weights: only }) =>
      only === true
        ? 'save_only_topk_weights is true, so only the chosen vectors are in the file and not the logits; save it with save_only_topk_weights=False'
        : null,
    config: (model) => ({ ...fanInFanOut(model), save_only_topk_weights: false }),
    keys: { vblora_vector_bank: 'base_model.vblora_vector_bank' },
  },
  card: {
    about: 'mixtures of the vectors of one bank',
    paper: {
      authors: 'Li, Han & Ji',
      year: 2024,
      title: 'VB-LoRA: Extreme Parameter Efficient Fine-Tuning with Vector Banks',
      url: 'https://arxiv.org/abs/2405.15179',
    },
    learningRate: 5e-4,
    narrowRate: 1e-2,
  },
});
