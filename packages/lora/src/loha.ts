import { defineMethod, eachLinear, kaimingUniform, type MethodFactory, zeros } from '@peftjs/core';
import { matmul, mul, reshape, type Tensor } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { dropOutputs, type LycorisOptions, lycorisOptions, rankAndScale } from './lycoris.ts';

/** All products of a column of one factor and a column of the other: [n, r] and [n, r] give [n, r²]. */
const columnProducts = (a: Tensor, b: Tensor): Tensor => {
  const [n, r] = a.shape as [number, number];
  return reshape(mul(reshape(a, [n, r, 1]), reshape(b, [n, 1, r])), [n, r * r]);
};

/** The same of rows: [r, n] and [r, n] give [r², n]. */
const rowProducts = (a: Tensor, b: Tensor): Tensor => {
  const [r, n] = a.shape as [number, number];
  return reshape(mul(reshape(a, [r, 1, n]), reshape(b, [1, r, n])), [r * r, n]);
};

/**
 * LoHa, of FedPara: y = Wx + (alpha/r)·((W₁ₐW₁ᵦ) ∘ (W₂ₐW₂ᵦ))x, of rank up to r² with the parameters of rank 2r. W·ₐ is [out, r], W·ᵦ [r, in];
 * W₂ᵦ is zero at the start, the others U(−1/√n, 1/√n) with n the last axis. ∘ is also a product of rank r² of all products of columns and of
 * rows; where r²·(out + in) < out·in that is computed, and nothing of shape [out, in] is formed, elsewhere ΔW is. Merges. Throws
 * `bad-option`, and when attached `no-match`.
 * Hyeon-Woo, Ye-Bin & Oh, 2021. https://arxiv.org/abs/2108.06098
 */
export const loha: MethodFactory<LycorisOptions> = defineMethod<LycorisOptions>({
  name: 'loha',
  formula: {
    merges: true,
    options: lycorisOptions,
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'loha', (base, own, path) => {
        const { inDim, outDim } = base;
        const { rank, scale } = rankAndScale(options, path);
        const a1 = own.param('hada_w1_a', [outDim, rank], kaimingUniform);
        const b1 = own.param('hada_w1_b', [rank, inDim], kaimingUniform);
        const a2 = own.param('hada_w2_a', [outDim, rank], kaimingUniform);
        const b2 = own.param('hada_w2_b', [rank, inDim], zeros);
        const dense = (): Tensor => mul(mul(matmul(a1, b1), matmul(a2, b2)), scale);
        const factored = (x: Tensor): Tensor => {
          const low = matmul(x, rowProducts(b1, b2), { transposeB: true }); // [..., rank²]
          return mul(matmul(low, columnProducts(a1, a2), { transposeB: true }), scale);
        };
        const cheap = rank * rank * (inDim + outDim) < inDim * outDim;
        return addDelta(base, {
          apply: (x) => dropOutputs(own, cheap ? factored(x) : matmul(x, dense(), { transposeB: true }), options, true),
          dense,
        });
      }),
  },
  files: {
    peftType: 'LOHA',
    mixes: 'anywhere',
    config: () => ({ init_weights: true, use_effective_conv2d: false }),
  },
  card: {
    about: 'products of two low-rank updates, entry by entry',
    paper: {
      authors: 'Hyeon-Woo, Ye-Bin & Oh',
      year: 2021,
      title: 'FedPara: Low-rank Hadamard Product for Communication-Efficient Federated Learning',
      url: 'https://arxiv.org/abs/2108.06098',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-2,
  },
});
