import {
  defineMethod,
  eachLinear,
  flag,
  type Init,
  kaimingUniform,
  type MethodFactory,
  type Option,
  type Scope,
  zeros,
} from '@peftjs/core';
import { matmul, mul, reshape, type Tensor, transpose } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { dropOutputs, type LycorisOptions, lycorisOptions, rankAndScale } from './lycoris.ts';

/** Options of `lokr`. */
export interface LokrOptions extends LycorisOptions {
  /** One side of the first factor, where it divides the layer's; else the largest divisor up to it. Default −1: the largest up to the root. */
  readonly factor?: number;
  /** Whether the first factor is of low rank too. Default false. */
  readonly decomposeBoth?: boolean;
  /** Whether the rows of ΔW that are not dropped grow for those that are. Default false. */
  readonly rankDropoutScale?: boolean;
}

const factorOption: Option<number> = {
  key: 'decompose_factor',
  fallback: () => -1,
  expected: 'a whole number of at least 1, or −1',
  accepts: (v) => v === -1 || (Number.isSafeInteger(v) && (v as number) >= 1),
};

/** A size as a product of two, as LyCORIS splits it: [factor, size / factor] where that divides, else the largest divisor up to it and √size. */
export const splitSize = (size: number, factor: number): readonly [number, number] => {
  if (factor > 0 && size % factor === 0) return [factor, size / factor];
  let first = Math.floor(Math.min(factor > 0 ? factor : size, Math.sqrt(size)));
  while (size % first !== 0) first--;
  return [first, size / first];
};

/** A factor of the product, applied and whole. */
interface Factor {
  apply(x: Tensor): Tensor;
  dense(): Tensor;
}

/** A matrix [rows, columns], or its two factors of a rank. `firstInit` is of the whole or of its left factor. */
const matrix = (
  own: Scope,
  name: string,
  [rows, columns]: readonly [number, number],
  rank: number | null,
  firstInit: Init,
): Factor => {
  if (rank === null) {
    const w = own.param(name, [rows, columns], firstInit);
    return { apply: (x) => matmul(x, w, { transposeB: true }), dense: () => w };
  }
  const a = own.param(`${name}_a`, [rows, rank], firstInit);
  const b = own.param(`${name}_b`, [rank, columns], kaimingUniform);
  return {
    apply: (x) => matmul(matmul(x, b, { transposeB: true }), a, { transposeB: true }),
    dense: () => matmul(a, b),
  };
};

/**
 * LoKr: y = Wx + (alpha/r)·(W₁ ⊗ W₂)x with W₁ of shape [l, m], W₂ of shape [k, n], l·k = out, m·n = in. W₂ (and with `decomposeBoth` W₁) is
 * a product of two factors of rank r where r is less than half of its larger side. W₁, or its left factor, is zero at the start, the others
 * U(−1/√n, 1/√n) with n the last axis. x is taken as m rows of n: nothing of shape [out, in] is formed, nor a product of two factors.
 * Merges. Throws `bad-option`, and when attached `no-match`. The same delta as KronA's.
 * Yeh et al. (LyCORIS), 2023. https://arxiv.org/abs/2309.14859; Edalati et al., 2022. https://arxiv.org/abs/2212.10650
 */
export const lokr: MethodFactory<LokrOptions> = defineMethod<LokrOptions>({
  name: 'lokr',
  formula: {
    merges: true,
    options: {
      ...lycorisOptions,
      factor: factorOption,
      decomposeBoth: flag('decompose_both', false),
      rankDropoutScale: flag('rank_dropout_scale', false),
    },
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'lokr', (base, own, path) => {
        const { rank, scale } = rankAndScale(options, path);
        const { factor, decomposeBoth, rankDropoutScale } = options;
        const [[l, k], [m, n]] = [splitSize(base.outDim, factor), splitSize(base.inDim, factor)];
        const isLow = (...sides: [number, number]): number | null => (rank < Math.max(...sides) / 2 ? rank : null);
        const w1 = matrix(own, 'lokr_w1', [l, m], decomposeBoth ? isLow(l, m) : null, zeros);
        const w2 = matrix(own, 'lokr_w2', [k, n], isLow(k, n), kaimingUniform);
        return addDelta(base, {
          apply: (x) => {
            const lead = x.shape.slice(0, -1);
            const rows = lead.reduce((product, d) => product * d, 1);
            const inner = transpose(w2.apply(reshape(x, [rows, m, n])), [0, 2, 1]); // [rows, k, m]
            const y = transpose(w1.apply(inner), [0, 2, 1]); // [rows, l, k]
            return dropOutputs(own, mul(reshape(y, [...lead, base.outDim]), scale), options, rankDropoutScale);
          },
          dense: () => {
            const product = mul(reshape(w1.dense(), [l, 1, m, 1]), reshape(w2.dense(), [1, k, 1, n]));
            return mul(reshape(product, [base.outDim, base.inDim]), scale);
          },
        });
      }),
  },
  files: {
    peftType: 'LOKR',
    mixes: 'anywhere',
    config: () => ({ init_weights: true, use_effective_conv2d: false }),
  },
  card: {
    about: 'Kronecker products of small matrices',
    paper: {
      authors: 'Yeh et al.',
      year: 2023,
      title: 'Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model Evaluation',
      url: 'https://arxiv.org/abs/2309.14859',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-2,
  },
});
