import {
  count,
  defineMethod,
  type Init,
  type MethodFactory,
  normal,
  type Option,
  rate,
  type Scope,
  uniform,
  zeros,
} from '@peftjs/core';
import { add, gelu, matmul, PeftError, reshape, type Tensor, transpose } from '@peftjs/tensor';
import { meanOfTokens } from './over-tokens.ts';
import { rowsInFront } from './soft-prompt.ts';

/** Options of `idpg`. */
export interface IdpgOptions {
  /** Virtual tokens m. Default 5. */
  readonly length?: number;
  /** Width h of the generator. Default 16; the paper's plain one has 256. */
  readonly bottleneck?: number;
  /** n of parametrised hypercomplex multiplication: each matrix is then Σ Aᵢ ⊗ Wᵢ over n terms, with n² times fewer values in W; it divides d, h and m·d. Default null: plain matrices. */
  readonly dimension?: number | null;
  /** Probability that a value of the generator's inner layer is dropped while training. Default 0.1. */
  readonly dropout?: number;
}

const dimensionOption: Option<number | null> = {
  key: 'phm_dim',
  fallback: () => null,
  expected: `null or ${count(null, 1).expected}`,
  accepts: (v) => v === null || count(null, 1).accepts(v),
};

/** Σ_i Aᵢ ⊗ Wᵢ of A [n, n, n] and W [n, p, q]: [n·p, n·q]. */
const sumOfProducts = (a: Tensor, w: Tensor): Tensor => {
  const [n, p, q] = w.shape as readonly [number, number, number];
  const flat = matmul(reshape(a, [n, n * n]), reshape(w, [n, p * q]), { transposeA: true });
  return reshape(transpose(reshape(flat, [n, n, p, q]), [0, 2, 1, 3]), [n * p, n * q]);
};

/** x·W + b; W a matrix [out, in], or made of n products. */
const projection = (scope: Scope, name: string, inDim: number, outDim: number, n: number | null, biases: Init) => {
  const own = scope.at(name);
  const bias = own.param('bias', [outDim], n === null ? zeros : biases);
  if (n === null) {
    const weight = own.param('weight', [outDim, inDim], normal(0.02));
    return (x: Tensor): Tensor => add(matmul(x, weight, { transposeB: true }), bias);
  }
  if (inDim % n !== 0 || outDim % n !== 0)
    throw new PeftError(
      'bad-option',
      `idpg: dimension ${n} must divide the hidden size, the bottleneck, and length times the hidden size, here ${inDim} and ${outDim}; choose another`,
    );
  const rule = own.param('phm_rule', [n, n, n], normal(0.05));
  const w = own.param('phm_weight', [n, inDim / n, outDim / n], normal(0.05));
  return (x: Tensor): Tensor => add(matmul(x, sumOfProducts(rule, w)), bias);
};

/**
 * IDPG, instance-dependent prompt generation: [P(x); E(x)], m rows made of each text: P(x) = W₂·gelu(W₁·x̄ + b₁) + b₂ as [m, d], x̄ the mean of its embedded tokens, which is the paper's generator over word vectors (its other one reads
 * the frozen model's [CLS] in a first pass). W₁ [h, d] and W₂ [m·d, h] are from N(0, 0.02²), biases 0; with `dimension` both are sums of Kronecker products, whose factors and b₁ are from N(0, 0.05²), and b₂ from U(−0.5, 0.5). Generation keeps the prompt of the text that it continues.
 * Files have a layout of our own. Does not merge. Throws `bad-option`, also when attached for a dimension that does not divide.
 * Wu et al., 2022. https://arxiv.org/abs/2204.04497 By the authors' code, https://github.com/CSerxy/IDPG, fairseq/modules/transformer_sentence_encoder.py.
 */
export const idpg: MethodFactory<IdpgOptions> = defineMethod<IdpgOptions>({
  name: 'idpg',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 5),
      bottleneck: count('bottleneck_dim', 16),
      dimension: dimensionOption,
      dropout: rate('generation_dropout', 0.1),
    },
    attach: (model, scope, { length, bottleneck, dimension, dropout }) =>
      rowsInFront(model, { length }, ({ dim }) => {
        const dense = projection(scope, 'generation_dense', dim, bottleneck, dimension, normal(0.05));
        const out = projection(scope, 'generation_out_proj', bottleneck, length * dim, dimension, uniform(0.5));
        return (x, call) => reshape(out(scope.dropout(gelu(dense(meanOfTokens(x, call))), dropout)), [-1, length, dim]);
      }),
  },
  files: { peftType: 'PEFTJS_IDPG' },
  card: {
    about: 'a generator that makes rows in front of the embeddings, of each text',
    paper: {
      authors: 'Wu et al.',
      year: 2022,
      title: 'IDPG: An Instance-Dependent Prompt Generation Method',
      url: 'https://arxiv.org/abs/2204.04497',
    },
    learningRate: 5e-3,
    narrowRate: 3e-2,
  },
});
