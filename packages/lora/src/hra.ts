import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  type HostInit,
  kaimingUniform,
  type MethodFactory,
  type Target,
  targets,
} from '@peftjs/core';
import { div, matmul, mul, PeftError, slice, sqrt, sub, sum, type Tensor } from '@peftjs/tensor';

/** Options of `hra`. */
export interface HraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Number of reflections r, even, so that they cancel at the start; no more than the layer has inputs. Default 8. */
  readonly rank?: number;
  /** Whether the vectors are made orthogonal first (Gram and Schmidt's way). Default false. */
  readonly orthogonal?: boolean;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** Each column twice, from U(−1/√n, 1/√n) with n half the columns: a reflection undoes the one before. An odd number of them cannot. */
const pairs: HostInit = (shape, random) => {
  const [rows, columns] = shape as readonly [number, number];
  if (columns % 2 !== 0) return kaimingUniform(shape, random);
  const drawn = kaimingUniform([rows, columns / 2], random);
  return Float32Array.from({ length: rows * columns }, (_, i) => drawn[i >> 1]!);
};

/** A column divided by its length. */
const unit = (u: Tensor): Tensor => div(u, sqrt(sum(mul(u, u))));

/** x less its part along a unit vector, `times` as much: [..., in] and [in, 1]. */
const less = (x: Tensor, u: Tensor, times: number): Tensor =>
  sub(x, matmul(mul(matmul(x, u), times), u, { transposeB: true }));

/** The columns of [in, r] as unit vectors, [in, 1] each; each orthogonal to those before, if that is wanted. */
const directions = (all: Tensor, orthogonal: boolean): readonly Tensor[] => {
  const found: Tensor[] = [];
  for (let i = 0; i < all.shape[1]!; i++) {
    let u = slice(all, { axis: 1, start: i, end: i + 1 });
    if (orthogonal) for (const v of found) u = sub(u, mul(v, sum(mul(v, u))));
    found.push(unit(u));
  }
  return found;
};

/**
 * HRA: y = W·H₁·…·H_r·x + b with reflections Hᵢ = I − 2·uᵢuᵢᵀ/‖uᵢ‖², so W is turned and keeps its lengths and angles. The uᵢ are the columns of a
 * matrix [in, rank]; neighbours begin alike, so that the model begins as it was, up to rounding. Of an odd rank, or `orthogonal`, they can't, and the model begins elsewhere. x is reflected, vector by vector: nothing of
 * shape [in, in] is formed. Merges. Throws `bad-option`, also when attached to a layer of
 * fewer inputs, and then `no-match`.
 * Yuan, Liu & Xu, 2024. https://arxiv.org/abs/2405.17484
 */
export const hra: MethodFactory<HraOptions> = defineMethod<HraOptions>({
  name: 'hra',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      orthogonal: flag('apply_GS', false),
      bias: biases('hra'),
    },
    attach: (model, scope, { target, rank, orthogonal }) =>
      eachLinear(model, scope, target, 'hra', (base, own, path) => {
        if (rank > base.inDim)
          throw new PeftError(
            'bad-option',
            `hra: ${path}: rank ${rank} is more than its ${base.inDim} inputs, and as many reflections reach every rotation; give a smaller one`,
          );
        const vectors = directions(
          own.param('hra_u', [base.inDim, rank], orthogonal ? kaimingUniform : pairs),
          orthogonal,
        );
        const reflect = (x: Tensor, u: Tensor): Tensor => less(x, u, 2);
        return {
          ...base,
          apply: (x, call) => base.apply(vectors.reduceRight(reflect, x), call),
          // Rows of W are reflected by H₁ first.
          dense: () => {
            const { weight, bias } = base.dense();
            return { weight: vectors.reduce(reflect, weight), bias };
          },
        };
      }),
  },
  files: { peftType: 'HRA', config: () => ({ init_weights: true }) },
  card: {
    about: 'weights turned by reflections',
    paper: {
      authors: 'Yuan, Liu & Xu',
      year: 2024,
      title: 'Bridging The Gap between Low-rank and Orthogonal Adaptation via Householder Reflection Adaptation',
      url: 'https://arxiv.org/abs/2405.17484',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
