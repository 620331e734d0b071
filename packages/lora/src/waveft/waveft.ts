import {
  addSparse,
  type BiasChoice,
  biases,
  byPattern,
  count,
  defineMethod,
  eachLinear,
  flag,
  type MethodFactory,
  normal,
  number,
  oneOf,
  patternValue,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import {
  add,
  cast,
  constant,
  mul,
  PeftError,
  reshape,
  scatterAdd,
  slice,
  sparseMatmul,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import { addDelta } from '../add-delta.ts';
import { type CoefficientsInit, coefficientsInit } from '../coefficients-init.ts';
import { fanInFanOut, spectralTarget } from '../peft-config.ts';
import { torchPermutation } from '../torch-random.ts';
import { type Wavelet, wavelets } from './filters.ts';
import { type Transform, transformOf } from './transform.ts';

/** First values of the coefficients: none, so that the model begins as it was, or N(0, 0.01²). */
export type WaveftInit = CoefficientsInit;

/** Options of `waveft`. */
export interface WaveftOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Trained coefficients n of a layer; no more than it has weights. Default 2592. */
  readonly frequencies?: number;
  /** Of the update. Default 25. */
  readonly scale?: number;
  /** Default `db1`, Haar's. */
  readonly wavelet?: Wavelet;
  /** Whether the coefficients are transformed; else they are entries of ΔW themselves. Default true. */
  readonly transform?: boolean;
  /** Of torch's generator, which draws the places of the coefficients: they are not saved. Default 777. */
  readonly seed?: number;
  /** Default `zeros`. */
  readonly init?: WaveftInit;
  /** Other numbers of coefficients, by a regular expression of the path or its end after a dot; the first that fits counts. */
  readonly frequencyPattern?: Readonly<Record<string, number>>;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * The number of a coefficient's place in the matrix that is transformed, of its place in [out, in]. That stands in the middle of the larger matrix; and of its quarters the upper right one,
 * which Hugging Face PEFT takes for high rows of low columns, and the lower left one are exchanged.
 */
const placeIn =
  (rows: Transform, columns: Transform) =>
  (at: number): number => {
    const row = Math.floor(at / columns.size) + Math.floor((rows.width - rows.size) / 2);
    const column = (at % columns.size) + Math.floor((columns.width - columns.size) / 2);
    const [halfRow, halfColumn] = [rows.width / 2, columns.width / 2];
    const to = (column >= halfColumn ? halfRow : 0) + (row % halfRow);
    return to * columns.width + (row >= halfRow ? halfColumn : 0) + (column % halfColumn);
  };

/** Numbers of places of rows and columns, [2, n] -> [n]. */
const placesOf = (drawn: Tensor, width: number): Tensor => {
  const n = drawn.shape[1]!;
  const line = (which: 0 | 1): Tensor => reshape(slice(drawn, { axis: 0, start: which, end: which + 1 }), [n]);
  return add(mul(line(0), constant(Int32Array.of(width), [1])), line(1));
};

/**
 * WaveFT: y = Wx + ΔW·x, ΔW the values of a wavelet's coefficients in two dimensions, one level, that are zero but for n at random places, times `scale`. Trained are these [n], from 0; their places come from torch's generator.
 * x is transformed, multiplied by the sparse coefficients and transformed back: nothing of shape [out, in] is formed. With `transform: false` the coefficients are entries of ΔW. A file of `proportional_parameters`
 * is refused. Merges. Throws `bad-option`, also when attached to a layer of fewer weights, and then `no-match`.
 * Bilican, Yılmaz, Tekalp & Cinbiş, 2025. https://arxiv.org/abs/2505.12532
 */
export const waveft: MethodFactory<WaveftOptions> = defineMethod<WaveftOptions>({
  name: 'waveft',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', spectralTarget),
      frequencies: count('n_frequency', 2592),
      scale: number('scaling', 25),
      wavelet: oneOf('wavelet_family', wavelets, 'db1'),
      transform: flag('use_idwt', true),
      seed: wholeNumber('random_loc_seed', 777),
      init: coefficientsInit('zeros'),
      frequencyPattern: byPattern('n_frequency_pattern', count, 'numbers of at least 1', 'frequencies'),
      bias: biases('waveft'),
    },
    attach: (model, scope, { target, frequencies, scale, wavelet, transform, seed, init, frequencyPattern }) =>
      eachLinear(model, scope, target, 'waveft', (base, own, path) => {
        const { inDim, outDim } = base;
        const n = patternValue(frequencyPattern, path) ?? frequencies;
        if (n > outDim * inDim)
          throw new PeftError(
            'bad-option',
            `waveft: ${path}: frequencies ${n} are more than its ${outDim} × ${inDim} weights; give fewer`,
          );
        const spectrum = own.param('waveft_spectrum', [n], init === 'zeros' ? zeros : normal(0.01));
        const [rows, columns] = [transformOf(wavelet, outDim), transformOf(wavelet, inDim)];
        const numberOf = transform ? placeIn(rows, columns) : (at: number): number => at;
        // In two parts, which floats hold exactly.
        const width = transform ? columns.width : inDim;
        const drawn = own.running('waveft_places', [2, n], () => {
          const places = torchPermutation(outDim * inDim, seed, n).map(numberOf);
          return Float32Array.from({ length: 2 * n }, (_, i) =>
            i < n ? Math.floor(places[i]! / width) : places[i - n]! % width,
          );
        });
        const places = placesOf(cast(drawn, { dtype: 'i32' }), width);
        const values = mul(spectrum, scale);
        if (!transform) return addSparse(base, values, places);
        const size = { outDim: rows.width, inDim: columns.width };
        return addDelta(base, {
          apply: (x) => {
            const wide = reshape(columns.coefficients(x), [-1, columns.width]);
            return reshape(rows.values(sparseMatmul(wide, values, places, size)), [...x.shape.slice(0, -1), outDim]);
          },
          dense: () => {
            const whole = scatterAdd(values, places, { rows: size.outDim * size.inDim });
            const across = columns.values(reshape(whole, [size.outDim, size.inDim])); // [width, in]
            return transpose(rows.values(transpose(across)));
          },
        });
      }),
  },
  files: {
    peftType: 'WAVEFT',
    computes: { proportional_parameters: [false] },
    config: (model) => ({ ...fanInFanOut(model), proportional_parameters: false }),
  },
  card: {
    about: 'sparse wavelet coefficients of an update',
    paper: {
      authors: 'Bilican et al.',
      year: 2025,
      title: 'Exploring Sparsity for Parameter Efficient Fine Tuning Using Wavelets',
      url: 'https://arxiv.org/abs/2505.12532',
    },
    learningRate: 1e-3,
  },
});
