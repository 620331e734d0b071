import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  flag,
  type HostInit,
  type MethodFactory,
  ones,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import {
  add,
  cast,
  concat,
  constant,
  gather,
  matmul,
  mul,
  normalValues,
  type Random,
  randomSource,
  reshape,
  rsqrt,
  type Shape,
  slice,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import { addDelta } from '../add-delta.ts';
import { walshHadamard } from './walsh-hadamard.ts';

/** Options of `said`. */
export interface SaidOptions {
  /** Default: all linear layers but the head. */
  readonly target?: Target;
  /** Intrinsic dimension D: values that all layers share. Default 20,000. */
  readonly dimension?: number;
  /** Whether each layer also has a trained factor of its own (SAID), 1 at the start; else DID. Default true. */
  readonly byLayer?: boolean;
  /** Of the random projections. Default 0. */
  readonly seed?: number;
  /** Whether the projections are saved with the adapter; else they are drawn again when it is loaded. Default false. */
  readonly saveProjections?: boolean;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

type Draw = (shape: Shape, random: Random) => Float32Array;

const signs: Draw = ([n], random) => Float32Array.from({ length: n! }, () => (random() < 0.5 ? -1 : 1));
const normals: Draw = ([n], random) => normalValues(n!, 1, random);

/** f32 holds whole numbers up to 2²⁴ alone, so places stand as multiples of this and a rest. */
const radix = 4096;

/** A random order of so many places, [2, n]. Fisher & Yates, 1938. */
const permutation: Draw = ([, n], random) => {
  const order = Int32Array.from({ length: n! }, (_, i) => i);
  for (let i = n! - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return Float32Array.from({ length: 2 * n! }, (_, i) =>
    i < n! ? Math.floor(order[i]! / radix) : order[i - n!]! % radix,
  );
};

/** The first `size` values, zeros behind them where there are fewer. */
const fitted = (t: Tensor, size: number): Tensor => {
  const own = t.shape[0]!;
  if (own === size) return t;
  if (own > size) return slice(t, { axis: 0, start: 0, end: size });
  return concat(t, constant(new Float32Array(size - own), [size - own]), { axis: 0 });
};

/**
 * Intrinsic SAID: y = (W + λ·P·θ)·x + b, with θ [D] all that is trained, zero at the start, shared by all layers, and λ a factor of each layer. P is a random
 * projection of the layer's own by Fastfood, P·θ = H·G·Π·H·B·θ / (√(Σg²)·√n): H Hadamard's matrix, B signs, Π a permutation, G = diag(g) with g from N(0, 1), of the
 * length L ≥ n that is a power of two, n the number of the layer's weights, of which the first n values are taken. ΔW is formed in every step, in L·log L operations. Merges.
 * Only layers have projections, no norms, biases or embeddings. Throws `bad-option`, and when attached `no-match`.
 * Aghajanyan, Zettlemoyer & Gupta, 2020. https://arxiv.org/abs/2012.13255. As the code in https://github.com/rabeehk/compacter has it, but that gradients are not scaled by 1/L.
 */
export const said: MethodFactory<SaidOptions> = defineMethod<SaidOptions>({
  name: 'said',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      dimension: count('intrinsic_dim', 20_000),
      byLayer: flag('intrinsic_said', true),
      seed: wholeNumber('projection_seed', 0),
      saveProjections: flag('save_projection', false),
      bias: biases('said'),
    },
    attach: (model, scope, { target, dimension, byLayer, seed, saveProjections }) => {
      const theta = scope.param('said_theta', [dimension], zeros);
      return eachLinear(model, scope, target, 'said', (base, own, path) => {
        const { inDim, outDim } = base;
        const size = inDim * outDim;
        const length = 2 ** Math.ceil(Math.log2(size));
        const drawn = (name: string, shape: Shape, init: Draw): Tensor => {
          const seeded: HostInit = (of) => init(of, randomSource(seed, `${path}.${name}`));
          return saveProjections ? own.buffer(name, shape, seeded) : own.running(name, shape, seeded);
        };
        const b = drawn('said_B', [length], signs);
        const order = drawn('said_P', [2, length], permutation);
        const g = drawn('said_G', [length], normals);
        const lambda = byLayer ? own.param('said_lambda', [1], ones) : null;
        const part = (at: 0 | 1): Tensor => cast(slice(order, { axis: 0, start: at, end: at + 1 }), { dtype: 'i32' });
        const delta = (): Tensor => {
          const places = reshape(add(mul(part(0), constant(Int32Array.of(radix), [1])), part(1)), [length]);
          const first = walshHadamard(mul(fitted(theta, length), b));
          const mixed = reshape(gather(reshape(first, [length, 1]), places), [length]);
          const second = fitted(walshHadamard(mul(mixed, g)), size);
          const factor = mul(rsqrt(sum(mul(g, g))), 1 / Math.sqrt(size));
          const unit = mul(reshape(second, [outDim, inDim]), factor);
          return lambda ? mul(unit, lambda) : unit;
        };
        return addDelta(base, {
          apply: (x) => matmul(x, delta(), { transposeB: true }),
          dense: delta,
        });
      });
    },
  },
  files: { peftType: 'PEFTJS_SAID' },
  card: {
    about: 'one short vector, projected to the weights of every layer',
    paper: {
      authors: 'Aghajanyan, Zettlemoyer & Gupta',
      year: 2020,
      title: 'Intrinsic Dimensionality Explains the Effectiveness of Language Model Fine-Tuning',
      url: 'https://arxiv.org/abs/2012.13255',
    },
    learningRate: 1e-2,
  },
});
