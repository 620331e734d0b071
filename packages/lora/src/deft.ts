import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  type MethodFactory,
  normal,
  number,
  oneOf,
  rate,
  type Target,
  targets,
} from '@peftjs/core';
import { add, matmul, mul, neg, relu, sub, type Tensor } from '@peftjs/tensor';
import { orthonormal } from './orthonormal.ts';
import { fanInFanOut } from './peft-config.ts';

/** The projection that is taken out of W: P·relu(P)ᵀ, or Q·Qᵀ with Q the orthonormal columns of P. */
export type DeftDecomposition = 'relu' | 'qr';

/** Options of `deft`. */
export interface DeftOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the projection; where a layer has fewer outputs, their number. Default 8. */
  readonly rank?: number;
  /** Default `relu`. */
  readonly decomposition?: DeftDecomposition;
  /** The scale of the part put in is alpha / rank. Default 0: it is not scaled. */
  readonly alpha?: number;
  /** Whether nothing is put in where the projection was taken out (PaRa): the model then begins elsewhere. Default false. */
  readonly para?: boolean;
  /** Probability that an input of what is put in is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** P and its partner, by which W is read: the projection is left·rightᵀ, [out, r] each. */
const projectionOf = (p: Tensor, decomposition: DeftDecomposition): readonly [left: Tensor, right: Tensor] => {
  if (decomposition === 'relu') return [p, relu(p)];
  const q = orthonormal(p);
  return [q, q];
};

/**
 * DEFT: y = (W − L·Kᵀ·W)·x + s·L·R·dropout(x) + b: a projection is taken out of W, and R [rank, in] put in. L and K are P and relu(P), or both the orthonormal columns of
 * P (`qr`); s = alpha / rank. P [out, rank] is from N(0, 0.02), R is Kᵀ·W/s, so that the model begins as it was, up to rounding. Nothing of shape [out, in] is
 * formed. `para` leaves R out. Merges. Throws `bad-option`, and when attached `no-match`.
 * Kumar et al., 2025. https://arxiv.org/abs/2509.22793 PaRa: Chen, Pan, Cai & Phung, 2024. https://arxiv.org/abs/2406.05641
 */
export const deft: MethodFactory<DeftOptions> = defineMethod<DeftOptions>({
  name: 'deft',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      decomposition: oneOf('decomposition_method', ['relu', 'qr'], 'relu'),
      alpha: { ...number('alpha', 0), toJson: (alpha) => (alpha === 0 ? null : alpha) },
      para: flag('para', false),
      // Hugging Face PEFT drops nothing with `para`, whatever its file says.
      dropout: { ...rate('deft_dropout', 0), fromJson: (v, file) => (file['para'] === true ? 0 : v) },
      bias: biases('deft'),
    },
    check: ({ para, dropout = 0 }) =>
      para && dropout > 0 ? 'with para nothing is put in, so nothing is dropped; leave dropout out' : null,
    attach: (model, scope, { target, rank, decomposition, alpha, para, dropout }) =>
      eachLinear(model, scope, target, 'deft', (base, own) => {
        const { inDim, outDim } = base;
        const r = Math.min(rank, outDim);
        const scale = alpha === 0 ? 1 : alpha / r;
        const [left, right] = projectionOf(own.param('deft_P', [outDim, r], normal(0.02)), decomposition);
        /** Kᵀ·W, [rank, in] */
        const taken = (): Tensor => matmul(right, base.dense().weight, { transposeA: true });
        const put = para ? null : own.param('deft_R', [r, inDim], mul(taken(), 1 / scale));
        return {
          ...base,
          apply: (x, call) => {
            const y = base.apply(x, call);
            const { bias } = base.dense();
            const out = neg(matmul(bias ? sub(y, bias) : y, right)); // [..., rank]
            const low = put ? add(out, mul(matmul(own.dropout(x, dropout), put, { transposeB: true }), scale)) : out;
            return add(y, matmul(low, left, { transposeB: true }));
          },
          dense: () => {
            const { weight, bias } = base.dense();
            const low = put ? sub(mul(put, scale), taken()) : neg(taken());
            return { weight: add(weight, matmul(left, low)), bias };
          },
        };
      }),
  },
  files: {
    peftType: 'DEFT',
    config: (model) => ({ ...fanInFanOut(model), init_scale: 1, init_weights: true }),
  },
  card: {
    about: 'a projection of the weights, taken out and replaced',
    paper: {
      authors: 'Kumar et al.',
      year: 2025,
      title: 'DEFT: Decompositional Efficient Fine-Tuning for Text-to-Image Models',
      url: 'https://arxiv.org/abs/2509.22793',
    },
    learningRate: 1e-4,
    narrowRate: 1e-2,
  },
});
