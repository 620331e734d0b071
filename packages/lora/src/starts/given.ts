import type { Init, Option } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import type { Product } from '../algebra/truncated-svd.ts';

/** First values of a layer that were computed of data: A [rank, in], B [out, rank], row by row. */
export interface FirstFactors {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/** The factors of each layer, by path. */
export type FirstByPath = Readonly<Record<Path, FirstFactors>>;

/** The option that `prepare` fills in; files don't hold it. */
export const firstByPath: Option<FirstByPath> = {
  key: null,
  fallback: () => ({}),
  expected: 'the factors of each layer, as prepare makes them',
  accepts: (v) => typeof v === 'object' && v !== null,
};

/** Factors as they are given. */
export const factorsIn = ({ a, b }: Product): FirstFactors => ({
  a: Float32Array.from(a.to1DArray()),
  b: Float32Array.from(b.to1DArray()),
});

/** The first values of a layer. Throws `bad-option` before `prepare`. */
export const givenFor = (method: string, first: FirstByPath, path: Path): ((half: 'a' | 'b') => Init) => {
  const own = first[path];
  if (!own)
    throw new PeftError(
      'bad-option',
      `${method}: the first values are not computed yet; call prepare with examples first`,
    );
  return (half) => () => own[half];
};
