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
import { concat, constant, div, matmul, mul, PeftError, slice, sqrt, sub, sum, type Tensor } from '@peftjs/tensor';

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

/** The columns divided by their lengths. */
const units = (u: Tensor): Tensor => div(u, sqrt(sum(mul(u, u), { axes: [0], keepDims: true })));

/** The columns of [in, r] as unit vectors, each orthogonal to those before, by Gram and Schmidt's way. */
const orthogonalized = (all: Tensor): Tensor => {
  const found: Tensor[] = [];
  for (let i = 0; i < all.shape[1]!; i++) {
    let u = slice(all, { axis: 1, start: i, end: i + 1 });
    for (const v of found) u = sub(u, mul(v, sum(mul(v, u))));
    found.push(units(u));
  }
  return found.reduce((left, u) => concat(left, u, { axis: 1 }));
};

/** [r, r] of what `value` is for a row and a column. */
const square = (r: number, value: (row: number, column: number) => number): Tensor =>
  constant(
    Float32Array.from({ length: r * r }, (_, i) => value(Math.floor(i / r), i % r)),
    [r, r],
  );

/**
 * T [r, r], upper triangular, of the product of reflections H₁·…·H_r = I − U·T·Uᵀ for the unit columns of U [in, r]. Two products side by side, of
 * U₁ and T₁, U₂ and T₂, have −T₁·U₁ᵀU₂·T₂ in their corner; so blocks of one are joined to blocks of two, four and so on, all of a size at once.
 * Schreiber & Van Loan, 1989. https://doi.org/10.1137/0910005
 */
const joined = (u: Tensor): Tensor => {
  const r = u.shape[1]!;
  const cosines = matmul(u, u, { transposeA: true });
  let t = square(r, (i, j) => (i === j ? 2 : 0));
  for (let size = 1; size < r; size *= 2) {
    const block = (i: number): number => Math.floor(i / size);
    const corners = square(r, (i, j) => (block(i) % 2 === 0 && block(j) === block(i) + 1 ? 1 : 0));
    t = sub(t, matmul(t, matmul(mul(cosines, corners), t)));
  }
  return t;
};

/**
 * HRA: y = W·H₁·…·H_r·x + b with reflections Hᵢ = I − 2·uᵢuᵢᵀ/‖uᵢ‖², so W is turned and keeps its lengths and angles. The uᵢ are the columns of a
 * matrix [in, rank]; neighbours begin alike, so that the model begins as it was, up to rounding. Of an odd rank, or `orthogonal`, they can't, and the model begins elsewhere. x is reflected by all of them at once, x − U·Tᵀ·Uᵀx with T [rank, rank]: nothing of
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
        const columns = own.param('hra_u', [base.inDim, rank], orthogonal ? kaimingUniform : pairs);
        const u = orthogonal ? orthogonalized(columns) : units(columns);
        const t = joined(u);
        /** Rows times H₁·…·H_r, or times H_r·…·H₁. */
        const reflect = (rows: Tensor, backward: boolean): Tensor =>
          sub(rows, matmul(matmul(matmul(rows, u), t, { transposeB: backward }), u, { transposeB: true }));
        return {
          ...base,
          apply: (x, call) => base.apply(reflect(x, true), call),
          dense: () => {
            const { weight, bias } = base.dense();
            return { weight: reflect(weight, false), bias };
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
