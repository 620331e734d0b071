import { defineMethod, eachLinear, type MethodFactory, positive, type Target, targets } from '@peftjs/core';
import { add, type Compute, matmul, mul, PeftError, stopGradient, sub, type Tensor } from '@peftjs/tensor';
import type { Linear, Path } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';
import type { Split } from './algebra/split.ts';
import { onceComputed } from './once-computed.ts';

/** Options of `osf`. */
export interface OsfOptions {
  /** Default: all linear layers but the head. */
  readonly target?: Target;
  /** Number of the largest singular values that stay as they are; below 1 the share of them. Default 0.5. */
  readonly kept?: number;
}

/** The number of singular values of a layer that stay. Throws `bad-option` where that leaves none, or all. */
const keptIn = (path: Path, { inDim, outDim }: Linear, kept: number): number => {
  const all = Math.min(inDim, outDim);
  const number = kept < 1 ? Math.trunc(all * kept) : Math.trunc(kept);
  if (number >= 1 && number < all) return number;
  throw new PeftError(
    'bad-option',
    `osf: ${path}: kept ${kept} means ${number} of its ${all} singular values; give what keeps at least one and leaves at least one to train`,
  );
};

/** A value with the gradient of another that depends on it. */
const withGradientOf = (value: Tensor, other: Tensor): Tensor =>
  add(stopGradient(value), sub(other, stopGradient(other)));

/**
 * OSF: y = (W − U₀·S₀·V₀ + U·S·V)·x + b: of the singular value decomposition of W the part of the largest values, `kept`, stays, the rest, U [out, m], S [m] and V [m, in], is trained, from U₀, S₀ and V₀. Gradients of U
 * and V are projected to what is orthogonal to the vectors of the part that stays, so that it is not overwritten. U₀, S₀ and V₀ are not saved, but made anew of the weights, which are decomposed whole on
 * the host: seconds for a side of 1,000, hours for one of 10,000. Nothing of shape [out, in] is formed, but factors of half of that. Merges. A file with a `rank_pattern` is refused. Throws `bad-option`,
 * also when attached, and then `no-match`.
 * Nayak et al., 2025. https://arxiv.org/abs/2504.07097
 */
export const osf: MethodFactory<OsfOptions> = defineMethod<OsfOptions>({
  name: 'osf',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      kept: positive('effective_rank', 0.5),
    },
    attach: (model, scope, { target, kept }) =>
      eachLinear(model, scope, target, 'osf', (base, own, path) => {
        const { inDim, outDim } = base;
        const k = keptIn(path, base, kept);
        const m = Math.min(inDim, outDim) - k;
        const split = onceComputed(async (compute) => {
          const { splitOf } = await import('./algebra/split.ts'); // with ml-matrix, which few need
          return splitOf(base, k, compute);
        });
        const low =
          (part: keyof Split['low']) =>
          async (_: unknown, __: unknown, compute: Compute): Promise<Float32Array> =>
            (await split(compute)).low[part];
        const high =
          (part: keyof Split['high']) =>
          async (_: unknown, __: unknown, compute: Compute): Promise<Float32Array> =>
            (await split(compute)).high[part];
        const u = own.param('osf_svd_params.U_low', [outDim, m], low('u'));
        const s = own.param('osf_svd_params.S_low', [m], low('s'));
        const v = own.param('osf_svd_params.V_low', [m, inDim], low('v'));
        const u0 = own.running('osf_U_low_init', [outDim, m], low('u'));
        const s0 = own.running('osf_S_low_init', [m], low('s'));
        const v0 = own.running('osf_V_low_init', [m, inDim], low('v'));
        // Of a square matrix of vectors, the rest spans all that is orthogonal to those that stay.
        const freeU = (): Tensor => {
          if (outDim <= inDim) return matmul(u0, matmul(u0, u, { transposeA: true }));
          const fixed = own.running('osf_U_high', [outDim, k], high('u'));
          return sub(u, matmul(fixed, matmul(fixed, u, { transposeA: true })));
        };
        const freeV = (): Tensor => {
          if (inDim <= outDim) return matmul(matmul(v, v0, { transposeB: true }), v0);
          const fixed = own.running('osf_V_high', [k, inDim], high('v'));
          return sub(v, matmul(matmul(v, fixed, { transposeB: true }), fixed));
        };
        const [trainedU, trainedV] = [withGradientOf(u, freeU()), withGradientOf(v, freeV())];
        const through = (x: Tensor, [left, values, right]: readonly [Tensor, Tensor, Tensor]): Tensor =>
          matmul(mul(matmul(x, right, { transposeB: true }), values), left, { transposeB: true });
        const whole = (left: Tensor, values: Tensor, right: Tensor): Tensor => matmul(mul(left, values), right);
        return addDelta(base, {
          apply: (x) => sub(through(x, [trainedU, s, trainedV]), through(x, [u0, s0, v0])),
          dense: () => sub(whole(trainedU, s, trainedV), whole(u0, s0, v0)),
        });
      }),
  },
  files: {
    peftType: 'OSF',
    computes: { rank_pattern: [] },
    config: () => ({ init_weights: true }),
  },
  card: {
    about: 'the smaller singular values of the weights, with their vectors',
    paper: {
      authors: 'Nayak et al.',
      year: 2025,
      title: 'Sculpting Subspaces: Constrained Full Fine-Tuning in LLMs for Continual Learning',
      url: 'https://arxiv.org/abs/2504.07097',
    },
    learningRate: 5e-5,
    narrowRate: 3.2e-2,
  },
});
