import {
  addSparse,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  type HostInit,
  type MethodFactory,
  type Option,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, constant, mul, PeftError, reshape, slice, type Tensor, type Variable } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import { fanInFanOut } from './peft-config.ts';
import { samplePlaces } from './sample-places.ts';
import { torchPermutation } from './torch-random.ts';

/** Options of `shira`. */
export interface ShiraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** The number of trained entries, told by the rank r of a LoRA of as many values: r·(in + out). Default 32. */
  readonly rank?: number;
  /** Of torch's generator, which then draws the places as Hugging Face PEFT does. Default −1: they are drawn from the adapter's own seed. */
  readonly seed?: number;
}

const seedOption: Option<number> = {
  key: 'random_seed',
  fallback: () => -1,
  expected: 'a whole number of at least -1',
  accepts: (v) => Number.isSafeInteger(v) && (v as number) >= -1,
  toJson: (seed) => (seed < 0 ? null : seed),
};

/** Rows and then columns of as many entries, in the order of the matrix. */
const randomPlaces =
  (outDim: number, inDim: number, seed: number): HostInit =>
  (shape, random) => {
    const [, entries] = shape as readonly [number, number];
    const size = outDim * inDim;
    const drawn = seed < 0 ? samplePlaces(size, entries, random) : torchPermutation(size, seed, entries);
    const places = drawn.sort();
    return Int32Array.from({ length: 2 * entries }, (_, i) =>
      i < entries ? Math.floor(places[i]! / inDim) : places[i - entries]! % inDim,
    );
  };

/** Of a file nothing is taken on trust: each place must be one of the matrix, and no two the same, as a sparse product adds them only once. */
const checkPlaces = (path: Path, index: Variable, outDim: number, inDim: number): void => {
  const { init } = index.node;
  if (!ArrayBuffer.isView(init)) return;
  const [places, entries] = [init as Int32Array, index.shape[1]!];
  const seen = new Set<number>();
  for (let i = 0; i < entries; i++) {
    const [row, column] = [places[i]!, places[entries + i]!];
    if (row >= 0 && row < outDim && column >= 0 && column < inDim) seen.add(row * inDim + column);
  }
  if (seen.size !== entries)
    throw new PeftError(
      'state-mismatch',
      `shira: ${path}.shira_indices must hold ${entries} different places of a matrix of ${outDim} × ${inDim}, rows and then columns; ${entries - seen.size} are outside of it or there twice`,
    );
};

/**
 * SHiRA: y = (W + S)·x + b with S zero but for r·(in + out) entries at random places, so that its rank is high; these are trained, from 0, and saved with their places.
 * Nothing of shape [out, in] is formed in a training step. A mask of another kind is read as well, since a file holds its places. Merges. Throws `bad-option`, also
 * when attached to a layer of fewer entries, and then `no-match` and `state-mismatch`.
 * Bhardwaj et al., 2024. https://arxiv.org/abs/2406.13175
 */
export const shira: MethodFactory<ShiraOptions> = defineMethod<ShiraOptions>({
  name: 'shira',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 32),
      seed: seedOption,
    },
    attach: (model, scope, { target, rank, seed }) =>
      eachLinear(model, scope, target, 'shira', (base, own, path) => {
        const { inDim, outDim } = base;
        const entries = rank * (inDim + outDim);
        if (entries > inDim * outDim)
          throw new PeftError(
            'bad-option',
            `shira: ${path}: rank ${rank} asks for ${entries} entries of ${outDim} × ${inDim}; give a smaller one`,
          );
        const values = own.param('shira_weight', [entries], zeros);
        const index = own.buffer('shira_indices', [2, entries], randomPlaces(outDim, inDim, seed), 'i32');
        checkPlaces(path, index, outDim, inDim);
        const line = (which: 0 | 1): Tensor =>
          reshape(slice(index, { axis: 0, start: which, end: which + 1 }), [entries]);
        const places = add(mul(line(0), constant(Int32Array.of(inDim), [1])), line(1));
        return addSparse(base, values, places);
      }),
  },
  files: {
    peftType: 'SHIRA',
    config: (model) => ({ ...fanInFanOut(model), mask_type: 'random', init_weights: true }),
  },
  card: {
    about: 'random entries of the weights',
    paper: {
      authors: 'Bhardwaj et al.',
      year: 2024,
      title: 'Sparse High Rank Adapters',
      url: 'https://arxiv.org/abs/2406.13175',
    },
    learningRate: 3e-4,
    narrowRate: 3.2e-2,
  },
});
