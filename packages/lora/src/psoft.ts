import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  filled,
  flag,
  type Init,
  type MethodCard,
  type MethodFactory,
  type Option,
  oneOf,
  rate,
  type Scope,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { div, matmul, maximum, mul, PeftError, reshape, sqrt, sub, sum, type Tensor } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { cayley, identity } from './cayley.ts';
import { onceComputed } from './once-computed.ts';
import { refusedFiles } from './other-files.ts';
import { mostTerms, rotation, skew } from './skew.ts';

/** The frozen factors: singular vectors in A and all values in B, or the roots of the values in both. */
export type PsoftFactors = 'principal' | 'balanced';

/** Options of `psoft`. */
export interface PsoftOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the subspace that is turned; at most the smaller side of a layer. Default 32. */
  readonly rank?: number;
  /** Default `principal`. */
  readonly factors?: PsoftFactors;
  /** Whether R is a rotation; else it is any matrix. Default true. */
  readonly orthogonal?: boolean;
  /** Whether factors of what goes into R are trained. Default true. */
  readonly scaleIn?: boolean;
  /** Whether factors of what comes out of R are trained. Default true. */
  readonly scaleOut?: boolean;
  /** Terms of a series that stands for the inverse in the rotation, 100 at most. Default 0: the inverse itself. */
  readonly terms?: number;
  /** With `terms`: the largest norm of Q, in (0, 1); one that is longer is scaled down. Default 0: none. */
  readonly bound?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
}

const below1: Option<number> = {
  key: 'cayley_neumann_eps',
  fallback: () => 0,
  expected: 'in [0, 1)',
  accepts: (v) => typeof v === 'number' && v >= 0 && v < 1,
};

/** Q, scaled down until its norm is at most `most`. */
const within = (q: Tensor, most: number): Tensor =>
  mul(q, div(most, sqrt(maximum(sum(mul(q, q), { axes: [1, 2], keepDims: true }), most * most))));

/** I [n, n] as first values. */
const eye: Init = ([n]) => Float32Array.from({ length: n! * n! }, (_, i) => (i % (n! + 1) === 0 ? 1 : 0));

interface Turn {
  readonly rank: number;
  readonly orthogonal: boolean;
  readonly scaleIn: boolean;
  readonly scaleOut: boolean;
  readonly terms: number;
  readonly bound: number;
}

/** R [rank, rank] with its parameters. */
const turnOf = (own: Scope, { rank, orthogonal, scaleIn, scaleOut, terms, bound }: Turn): Tensor => {
  const weight = orthogonal
    ? own.param('psoft_R.weight', [(rank * (rank - 1)) / 2], zeros)
    : own.param('psoft_R.weight', [rank, rank], eye);
  const rotated = (): Tensor => {
    const values = reshape(weight, [1, weight.shape[0]!]);
    if (terms === 0) return cayley(skew(mul(values, -1), rank)); // (I − S)(I + S)⁻¹ with S = −Q
    const q = skew(values, rank);
    return rotation(bound > 0 ? within(q, bound) : q, terms);
  };
  const plain = orthogonal ? reshape(rotated(), [rank, rank]) : weight;
  const left = scaleOut ? own.param('psoft_R.vector_b', [rank], filled(1)) : null;
  const right = scaleIn ? own.param('psoft_R.vector_a', [rank], filled(1)) : null;
  const scaled = left ? mul(reshape(left, [rank, 1]), plain) : plain;
  return right ? mul(scaled, right) : scaled;
};

const card: MethodCard = {
  about: 'the principal part of a weight, turned',
  paper: {
    authors: 'Wu, Hu, Min & Wang',
    year: 2026,
    title: 'Efficient Orthogonal Fine-Tuning with Principal Subspace Adaptation',
    url: 'https://arxiv.org/abs/2505.11235',
  },
  learningRate: 1e-3,
};

/** Hugging Face PEFT's own, which hold R without the singular vectors that it stands between. */
const peftFiles = refusedFiles(
  card,
  'psoft',
  'PSOFT',
  'a file of type PSOFT holds no singular vectors: Hugging Face PEFT makes them anew of the weights when it loads, and their signs, on which the adapter depends, are those of the LAPACK at hand. Make an ordinary LoRA of it where it was trained, with save_as_lora of PEFT, and load that',
);

/**
 * PSOFT: y = Wx + B·(R − I)·A·dropout(x), which turns the principal part of W. A = Vᵀ [r, in] and B = U·S [out, r] of the r largest singular values of W are frozen, or √S·Vᵀ and U·√S with
 * `balanced`; R = diag(b)·(I + Q)(I − Q)⁻¹·diag(a), with the values of the skew-symmetric Q above its diagonal [r·(r − 1)/2], zero at the start, and a, b [r], one at the start, trained. Nothing of shape
 * [out, in] is formed. A and B are saved with the adapter, as the signs of singular vectors are another library's own choice. Merges.
 * Files of Hugging Face PEFT hold no A and B, so they are refused. Throws `bad-option`, also when attached to a layer that has a side below the rank, and then `no-match`.
 * Wu, Hu, Min & Wang, 2026. https://arxiv.org/abs/2505.11235
 */
export const psoft: MethodFactory<PsoftOptions> = defineMethod<PsoftOptions>({
  name: 'psoft',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 32),
      factors: oneOf('factors', ['principal', 'balanced'], 'principal'),
      orthogonal: flag('psoft_orth', true),
      scaleIn: flag('psoft_mag_a', true),
      scaleOut: flag('psoft_mag_b', true),
      terms: wholeNumber('num_cayley_neumann_terms', 0),
      bound: below1,
      dropout: rate('psoft_dropout', 0),
    },
    check: ({ terms = 0, bound = 0, orthogonal = true }) => {
      if (terms > mostTerms) return `terms must be at most ${mostTerms}, got ${terms}`;
      if (!orthogonal && terms > 0) return 'terms are of a rotation; leave them out, or orthogonal';
      return bound > 0 && terms === 0 ? 'bound is for a series; give its terms, or leave it out' : null;
    },
    attach: (model, scope, { target, rank, factors, dropout, ...turn }) =>
      eachLinear(model, scope, target, 'psoft', (base, own, path) => {
        const { inDim, outDim } = base;
        if (rank > Math.min(inDim, outDim))
          throw new PeftError(
            'bad-option',
            `psoft: ${path}: rank ${rank} is more than the smaller side of its ${outDim} × ${inDim}; give at most that`,
          );
        const halves = onceComputed(async (compute) => {
          const found = await import('./algebra/balanced.ts'); // with ml-matrix, which few need
          return found[factors](base, rank, compute);
        });
        const a = own.buffer('psoft_A', [rank, inDim], async (_, __, compute) => (await halves(compute)).a);
        const b = own.buffer('psoft_B', [outDim, rank], async (_, __, compute) => (await halves(compute)).b);
        const change = sub(turnOf(own, { rank, ...turn }), identity(rank));
        return addDelta(base, {
          apply: (x) => {
            const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank]
            return matmul(matmul(low, change, { transposeB: true }), b, { transposeB: true });
          },
          dense: () => matmul(b, matmul(change, a)),
        });
      }),
  },
  files: { peftType: 'PEFTJS_PSOFT', also: peftFiles },
  card,
});
