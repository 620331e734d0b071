import {
  addSparse,
  count,
  defineMethod,
  eachLinear,
  type MethodFactory,
  type Option,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { PeftError, type Variable } from '@peftjs/tensor';
import { type Model, type Path, targeted } from '@peftjs/transformer';
import { eachFisher } from './fisher.ts';
import { keepLargest } from './keep-largest.ts';

/** Ascending places of a matrix's trained entries, row · inDim + column each, by the layer's path. */
export type Mask = Readonly<Record<Path, ArrayLike<number>>>;

/** Options of `fishMask`. */
export interface FishMaskOptions {
  /** Whose weights may be chosen. Default: all linear layers but the output head. */
  readonly target?: Target;
  /** The share of those weights that is trained, in (0, 1]. Default 0.005. */
  readonly keep?: number;
  /** Examples (rows of the data) that `prepare` looks at, at most. Default 1024. */
  readonly samples?: number;
  /** The weights themselves, instead of those that `prepare` chooses. */
  readonly mask?: Mask;
}

const share: Option<number> = {
  key: 'keep_ratio',
  fallback: () => 0.005,
  expected: 'in (0, 1]',
  accepts: (v) => typeof v === 'number' && v > 0 && v <= 1,
};

/** A mask that was read from a configuration knows how many places it has, but not which: their number alone is looked at. */
const areKnown = (places: ArrayLike<number>): boolean => Array.isArray(places) || ArrayBuffer.isView(places);

const isSound = (places: ArrayLike<number>): boolean =>
  !areKnown(places) ||
  Array.from(places).every((at, i) => Number.isSafeInteger(at) && at > (i === 0 ? -1 : places[i - 1]!));

/** A file's configuration holds how many places there are, its tensors which. */
const masks: Option<Mask> = {
  key: 'entries',
  fallback: () => ({}),
  expected: 'ascending places by path',
  accepts: (v) => typeof v === 'object' && v !== null && Object.values(v).every((p) => p?.length >= 1 && isSound(p)),
  toJson: (mask) => Object.fromEntries(Object.entries(mask).map(([path, { length }]) => [path, length])),
  fromJson: (counts) => {
    const entries = Object.entries(counts as object);
    if (!entries.every(([, length]) => Number.isSafeInteger(length) && length >= 1))
      throw new TypeError('must be numbers of entries by path');
    return Object.fromEntries(entries.map(([path, length]) => [path, { length }]));
  },
};

/** The places that a file holds, or those chosen; without either the first ones. */
const checkPlaces = (path: Path, index: Variable, chosen: ArrayLike<number>, size: number): void => {
  const { init } = index.node;
  const places = ArrayBuffer.isView(init) ? (init as Int32Array) : chosen;
  if (places.length > size || !isSound(places) || (places[places.length - 1] ?? 0) >= size)
    throw new PeftError(
      'state-mismatch',
      `fishMask: ${path}.fish_index must hold ascending places below ${size}, the weights of the layer`,
    );
};

const pathsOf = (mask: Mask, { linears }: Model): ReadonlySet<Path> => {
  const paths = Object.keys(mask);
  if (paths.length === 0)
    throw new PeftError('bad-option', 'fishMask: no weights are chosen yet; call prepare with examples first');
  const odd = paths.filter((path) => !linears.has(path));
  if (odd.length > 0) throw new PeftError('no-match', `fishMask: the model has no linear layer ${odd.join(', ')}`);
  return new Set(paths);
};

/**
 * FISH mask: W' = W + S where S is zero but for the share `keep` of all weights with the largest Fisher information; its entries are
 * trained, from 0. `prepare` chooses them before training, over all layers together: F = 1/N Σₙ (∂Lₙ/∂W)², squares of the gradient of one
 * example at a time with its own labels, as the authors' code does it (label-square). Biases, norms and embeddings are not chosen from.
 * Saved are k values and k places. No gradient of W is formed in a training step (`sparseMatmul`). Merges. Throws `bad-option`, and when
 * attached `bad-option` before `prepare`, `no-match`, `state-mismatch`. Sung, Nair & Raffel, 2021. https://arxiv.org/abs/2111.09839
 */
export const fishMask: MethodFactory<FishMaskOptions> = defineMethod<FishMaskOptions>({
  name: 'fishMask',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      keep: share,
      samples: count('samples', 1024),
      mask: masks,
    },
    prepare: async (model, { target, keep, samples }, { executor, data }) => {
      const paths = targeted(model.linears.keys(), target, 'fishMask');
      const sizes = paths.map((path) => model.linears.get(path)!).map(({ outDim, inDim }) => outDim * inDim);
      const largest = keepLargest(Math.max(1, Math.floor(keep * sizes.reduce((a, b) => a + b, 0))));
      await eachFisher(model, paths, data, { samples }, executor, (path, fisher) =>
        largest.add(paths.indexOf(path), fisher),
      );
      return { mask: Object.fromEntries([...largest.places()].map(([i, places]) => [paths[i]!, places])) };
    },
    attach: (model, scope, { mask }) => {
      const chosen = pathsOf(mask, model);
      return eachLinear(
        model,
        scope,
        (path) => chosen.has(path),
        'fishMask',
        (base, own, path) => {
          const { outDim, inDim } = base;
          const places = mask[path]!;
          const values = own.param('fish_values', [places.length], zeros);
          const index = own.buffer(
            'fish_index',
            [places.length],
            () => Int32Array.from(places, (at, i) => at ?? i),
            'i32',
          );
          checkPlaces(path, index, places, outDim * inDim);
          return addSparse(base, values, index);
        },
      );
    },
  },
  files: {
    peftType: 'PEFTJS_FISH_MASK',
  },
  card: {
    about: 'the weights of most Fisher information',
    paper: {
      authors: 'Sung, Nair & Raffel',
      year: 2021,
      title: 'Training Neural Networks with Fixed Sparse Masks',
      url: 'https://arxiv.org/abs/2111.09839',
    },
    learningRate: 2e-3,
  },
});
