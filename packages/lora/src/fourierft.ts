import {
  type BiasChoice,
  biases,
  byPattern,
  count,
  defineMethod,
  eachLinear,
  type HostInit,
  type MethodFactory,
  normal,
  number,
  patternValue,
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
  cos,
  floor,
  matmul,
  mul,
  neg,
  PeftError,
  reshape,
  sin,
  slice,
  type Tensor,
} from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { type CoefficientsInit, coefficientsInit } from './coefficients-init.ts';
import { fanInFanOut, spectralTarget } from './peft-config.ts';
import { torchPermutation } from './torch-random.ts';

/** First values of the spectrum: N(0, 1), or none, so that the model begins as it was. */
export type FourierFTInit = CoefficientsInit;

/** Options of `fourierft`. */
export interface FourierFTOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Trained frequencies n of a layer; no more than it has weights. Default 1000. */
  readonly frequencies?: number;
  /** Of the update. Default 150. */
  readonly scale?: number;
  /** Of torch's generator, which draws the places of the frequencies: they are not saved. Default 777. */
  readonly seed?: number;
  /** Default `normal`. */
  readonly init?: FourierFTInit;
  /** Other numbers of frequencies, by a regular expression of the path or its end after a dot; the first that fits counts. */
  readonly frequencyPattern?: Readonly<Record<string, number>>;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** Rows and then columns of frequencies, drawn as torch draws them. */
const drawn =
  (size: number, inDim: number, seed: number): HostInit =>
  ([, n]) => {
    const places = torchPermutation(size, seed, n!);
    return Float32Array.from({ length: 2 * n! }, (_, i) =>
      i < n! ? Math.floor(places[i]! / inDim) : places[i - n!]! % inDim,
    );
  };

/** The angles 2π·f·p/size of frequencies [n] at all places p, [n, size]. Whole turns are left out before anything is rounded. */
const angles = (frequencies: Tensor, size: number): Tensor => {
  const whole = (values: Int32Array): Tensor => constant(values, [values.length]);
  const column = reshape(cast(frequencies, { dtype: 'i32' }), [-1, 1]);
  const products = mul(column, whole(Int32Array.from({ length: size }, (_, p) => p)));
  const turns = cast(floor(mul(cast(products, { dtype: 'f32' }), 1 / size)), { dtype: 'i32' });
  const rest = add(products, mul(turns, whole(Int32Array.of(-size))));
  return mul(cast(rest, { dtype: 'f32' }), (2 * Math.PI) / size);
};

/**
 * FourierFT: y = Wx + ΔW·x, ΔW the real part of the inverse Fourier transform in two dimensions of a spectrum that is zero but for n values at random places, times
 * `scale`: ΔW[p, q] = scale/(out·in)·Σₖ cₖ·cos(2π(uₖ·p/out + vₖ·q/in)). Trained is c [n], from N(0, 1); u and v come from torch's generator. By the sum of two angles ΔW is a product of rank 2n,
 * and is applied as one: nothing of shape [out, in] is formed. Merges. Throws `bad-option`, also when attached to a layer of fewer weights, and then `no-match`.
 * Gao et al., 2024. https://arxiv.org/abs/2405.03003
 */
export const fourierft: MethodFactory<FourierFTOptions> = defineMethod<FourierFTOptions>({
  name: 'fourierft',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', spectralTarget),
      frequencies: count('n_frequency', 1000),
      scale: number('scaling', 150),
      seed: wholeNumber('random_loc_seed', 777),
      init: coefficientsInit('normal'),
      frequencyPattern: byPattern('n_frequency_pattern', count, 'numbers of at least 1', 'frequencies'),
      bias: biases('fourier'),
    },
    attach: (model, scope, { target, frequencies, scale, seed, init, frequencyPattern }) =>
      eachLinear(model, scope, target, 'fourierft', (base, own, path) => {
        const { inDim, outDim } = base;
        const n = patternValue(frequencyPattern, path) ?? frequencies;
        if (n > outDim * inDim)
          throw new PeftError(
            'bad-option',
            `fourierft: ${path}: frequencies ${n} are more than its ${outDim} × ${inDim} weights; give fewer`,
          );
        const spectrum = own.param('fourierft_spectrum', [n], init === 'zeros' ? zeros : normal(1));
        const places = own.running('fourierft_places', [2, n], drawn(outDim * inDim, inDim, seed));
        const line = (which: 0 | 1): Tensor => slice(places, { axis: 0, start: which, end: which + 1 });
        /** The cosines of all frequencies and then their sines, [2n, out] and [2n, in]; the sines of rows are negated. */
        const waves = (): readonly [Tensor, Tensor] => {
          const [u, v] = [angles(line(0), outDim), angles(line(1), inDim)];
          return [concat(cos(u), neg(sin(u)), { axis: 0 }), concat(cos(v), sin(v), { axis: 0 })];
        };
        const weights = (): Tensor => mul(concat(spectrum, spectrum, { axis: 0 }), scale / (outDim * inDim));
        return addDelta(base, {
          apply: (x) => {
            const [rows, columns] = waves();
            return matmul(mul(matmul(x, columns, { transposeB: true }), weights()), rows);
          },
          dense: () => {
            const [rows, columns] = waves();
            return matmul(mul(rows, reshape(weights(), [2 * n, 1])), columns, { transposeA: true });
          },
        });
      }),
  },
  files: { peftType: 'FOURIERFT', config: (model) => fanInFanOut(model) },
  card: {
    about: 'a few frequencies of the update',
    paper: {
      authors: 'Gao et al.',
      year: 2024,
      title: 'Parameter-Efficient Fine-Tuning with Discrete Fourier Transform',
      url: 'https://arxiv.org/abs/2405.03003',
    },
    learningRate: 1e-4,
    narrowRate: 1e-1,
  },
});
