import { PeftError } from '../error.ts';
import { type Spec, sameShape, shapeError } from '../shape.ts';
import { expectF32 } from './expect.ts';

/** Attributes of attention: whether a query sees only keys up to its own position, and the factor of the scores. */
export interface AttentionAttrs {
  readonly causal: boolean;
  readonly scale: number;
}

/** Sizes of one attention. */
export interface AttentionSizes {
  readonly batch: number;
  readonly heads: number;
  readonly groups: number;
  readonly queries: number;
  readonly keys: number;
  readonly headDim: number;
}

/** The inputs of both directions of attention. */
export interface AttentionSpecs {
  readonly q: Spec;
  readonly k: Spec;
  readonly v: Spec;
  readonly keyMask?: Spec;
  readonly offset?: Spec;
}

/** The largest headDim that kernels are written for. */
const maxHeadDim = 256;

/** Sizes of inputs already checked. */
export const attentionSizes = ({ q, k }: { readonly q?: Spec; readonly k?: Spec }): AttentionSizes => {
  const [batch, heads, queries, headDim] = q!.shape as [number, number, number, number];
  return { batch, heads, queries, headDim, groups: k!.shape[1]!, keys: k!.shape[2]! };
};

/** Checks the inputs of attention; throws `bad-shape`, `bad-dtype`, `bad-option`. */
export const checkAttention = (
  name: string,
  { q, k, v, keyMask, offset }: AttentionSpecs,
  { scale }: AttentionAttrs,
): AttentionSizes => {
  expectF32(name, { q, k, v, keyMask });
  if (![q, k, v].every(({ shape }) => shape.length === 4))
    throw shapeError(
      name,
      [q, k, v],
      'q must be [batch, heads, queries, headDim], k and v [batch, groups, keys, headDim]',
    );
  const sizes = attentionSizes({ q, k });
  const { batch, heads, groups, keys, headDim } = sizes;
  if (!sameShape(k.shape, v.shape) || k.shape[0] !== batch || k.shape[3] !== headDim)
    throw shapeError(
      name,
      [q, k, v],
      `k and v must both be [${batch}, groups, keys, ${headDim}], as q's batch and headDim say`,
    );
  if (groups === 0 ? heads !== 0 : heads % groups !== 0)
    throw shapeError(
      name,
      [q, k],
      `${heads} query heads cannot share ${groups} key heads; the first must be a multiple of the second`,
    );
  if (headDim > maxHeadDim) throw shapeError(name, [q], `headDim must be at most ${maxHeadDim}`);
  if (keyMask && !sameShape(keyMask.shape, [batch, keys]))
    throw shapeError(name, [k, keyMask], `keyMask must be [${batch}, ${keys}]`);
  if (offset && (offset.shape.length > 0 || offset.dtype !== 'i32'))
    throw shapeError(name, [offset], 'offset must be a scalar i32');
  if (!Number.isFinite(scale))
    throw new PeftError('bad-option', `${name}: got scale ${scale}; it must be a finite number`);
  return sizes;
};

/**
 * Pairs of a query and a key that meet: all of them, or with the causal mask those up to the query's own position. With an offset that is
 * known only at a run, or with fewer keys than queries, none are left out.
 */
export const pairsOf = (specs: Pick<AttentionSpecs, 'q' | 'k' | 'offset'>, { causal }: AttentionAttrs): number => {
  const { batch, heads, queries, keys } = attentionSizes(specs);
  const isHalf = causal && !specs.offset && keys >= queries;
  return batch * heads * queries * (isHalf ? keys - (queries - 1) / 2 : keys);
};

/** Whether query t of batch b sees key s, under masks by value. */
export const visibility = (
  { queries, keys }: AttentionSizes,
  causal: boolean,
  keyMask: ArrayLike<number> | undefined,
  offset: ArrayLike<number> | undefined,
): ((b: number, t: number, s: number) => boolean) => {
  const shift = offset ? offset[0]! : keys - queries;
  return (b, t, s) => (!causal || s <= t + shift) && (!keyMask || keyMask[b * keys + s]! > 0.5);
};
