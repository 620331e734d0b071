import { defineMethod, isObject, type MethodFactory, type Option, positive } from '@peftjs/core';
import { constant, equal, exp, matmul, mul, PeftError, reshape, shapeError, sub, type Tensor } from '@peftjs/tensor';
import type { Around } from '@peftjs/transformer';
import { textsBesidePictures } from '../pair-towers.ts';
import { addLogits } from './add-logits.ts';
import { isTipCache, type TipCache } from './tip-cache.ts';

/** Options of `tipAdapter`. */
export interface TipAdapterOptions {
  /** The weight α of the cache's logits. Default 1.17, the authors' for ImageNet; for other data they begin with 1.17 to 10. */
  readonly alpha?: number;
  /** The sharpness β: likeness l counts exp(−β(1 − l)). Default 1. */
  readonly beta?: number;
  /** Pictures whose classes are known. Default null: `prepare` makes it of examples. */
  readonly cache?: TipCache | null;
}

const cacheOption: Option<TipCache | null> = {
  key: 'cache',
  fallback: () => null,
  expected: 'null, or vectors of pictures and their classes as prepare makes them',
  accepts: (v) => v === null || isTipCache(v),
  // Its tensors are in the other file.
  toJson: (cache) => (cache ? { pictures: cache.pictures, width: cache.width, classes: cache.classes } : undefined),
  fromJson: (value) => {
    if (!isObject(value)) throw new TypeError('must be an object');
    const { pictures, width, classes } = value;
    return { pictures, width, classes };
  },
};

/** First values of a cache's tensor, or the error of one that is only known by its sizes. */
const valuesOf =
  <T>(values: T | undefined) =>
  (): T => {
    if (values) return values;
    throw new PeftError(
      'bad-option',
      'tipAdapter: the values of this cache are in the file of its adapter; load that, or call prepare with examples',
    );
  };

/** f32 [n, classes]: 1 at the class of each of n pictures, 0 elsewhere. */
const oneHot = (labels: Tensor, classes: number): Tensor => {
  const all = constant(
    Int32Array.from({ length: classes }, (_, i) => i),
    [1, classes],
  );
  return equal(reshape(labels, [labels.shape[0]!, 1]), all);
};

/**
 * Tip-Adapter: the logits of classes by texts, and beside them those by n pictures whose classes are known: z + α·exp(−β(1 − f Kᵀ))·V, with f [pictures, d] the vectors of pictures, of length 1, the keys K [n, d] those of the cache, and V [n, classes] their
 * classes, 1 or 0. `prepare` looks at the examples, each once, where the authors take the mean of ten crops; then it works without training, and training it is Tip-Adapter-F, which changes K alone. The texts' part is as `zeroShot` has it, with the model's own scale; the authors' is
 * 100, CLIP's. They choose α and β by a search on held-out pictures. Does not merge. Throws `bad-option`, also when attached before `prepare`, and `no-match` when attached to a model without texts beside pictures; in a pass `bad-shape` for another number of classes.
 * Zhang and others, 2021. https://arxiv.org/abs/2111.03930, https://github.com/gaopengcuhk/Tip-Adapter
 */
export const tipAdapter: MethodFactory<TipAdapterOptions> = defineMethod<TipAdapterOptions>({
  name: 'tipAdapter',
  formula: {
    merges: false,
    options: { alpha: positive('alpha', 1.17), beta: positive('beta', 1), cache: cacheOption },
    prepare: async (model, { cache }, look) => {
      textsBesidePictures(model, 'tipAdapter');
      const { cacheOf } = await import('./cache-of.ts');
      return { cache: cache ?? (await cacheOf(model, look)) };
    },
    attach: (model, scope, { alpha, beta, cache }) => {
      textsBesidePictures(model, 'tipAdapter');
      if (!cache)
        throw new PeftError(
          'bad-option',
          'tipAdapter: there is no cache yet; call prepare with labelled pictures first',
        );
      const [path] = model.paths('model');
      if (path === undefined)
        throw new PeftError(
          'no-match',
          'tipAdapter: adds to the logits of the whole model, and sees a part of it alone',
        );
      const { pictures, width, classes } = cache;
      const keys = scope.param('cache_keys', [pictures, width], valuesOf(cache.keys));
      const labels = scope.buffer('cache_values', [pictures], valuesOf(cache.labels), 'i32');
      const logitsOf = (vectors: Tensor, texts: number): Tensor => {
        if (texts !== classes || vectors.shape[1] !== width)
          throw shapeError(
            'tipAdapter',
            [vectors],
            `its cache is of ${classes} classes and vectors of ${width} values, and the task has ${texts} classes`,
          );
        const likeness = matmul(vectors, keys, { transposeB: true });
        return mul(matmul(exp(mul(sub(likeness, 1), beta)), oneHot(labels, classes)), alpha);
      };
      const around: Around<'model'> = (inputs, next, { pass }) => {
        addLogits(pass, logitsOf);
        return next(inputs);
      };
      return { around: { model: new Map([[path, around]]) } };
    },
  },
  files: { peftType: 'PEFTJS_TIP_ADAPTER' },
  card: {
    about: 'vectors of pictures whose classes are known, beside the texts of CLIP',
    paper: {
      authors: 'Zhang et al.',
      year: 2021,
      title: 'Tip-Adapter: Training-free CLIP-Adapter for Better Vision-Language Modeling',
      url: 'https://arxiv.org/abs/2111.03930',
    },
    learningRate: 1e-3,
  },
});
