import { PeftError } from '../error.ts';
import { type Spec, sameShape, shapeError } from '../shape.ts';
import { expectF32 } from './expect.ts';

/** Attributes of attention. */
export interface AttentionAttrs {
  /** Whether a query sees only keys up to its own position. */
  readonly causal: boolean;
  /** Factor of the scores. */
  readonly scale: number;
  /** How many keys a query sees at most, its own and those right before it; all of them where absent. */
  readonly window?: number;
  /** The scaled scores become softCap · tanh(score / softCap), which stays within ± softCap; absent: they stay as they are. */
  readonly softCap?: number;
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
export const maxHeadDim = 256;

/** Sizes of inputs already checked. */
export const attentionSizes = ({ q, k }: { readonly q?: Spec; readonly k?: Spec }): AttentionSizes => {
  const [batch, heads, queries, headDim] = q!.shape as [number, number, number, number];
  return { batch, heads, queries, headDim, groups: k!.shape[1]!, keys: k!.shape[2]! };
};

/** Checks the inputs of attention; throws `bad-shape`, `bad-dtype`, `bad-option`. */
export const checkAttention = (
  name: string,
  { q, k, v, keyMask, offset }: AttentionSpecs,
  { causal, scale, window, softCap }: AttentionAttrs,
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
  if (window !== undefined && !(causal && Number.isSafeInteger(window) && window > 0))
    throw new PeftError(
      'bad-option',
      `${name}: got window ${window} with causal ${causal}; a window is a whole number of keys above 0, and its last key is the query's own, so causal must be true`,
    );
  if (softCap !== undefined && !(softCap > 0 && Number.isFinite(softCap)))
    throw new PeftError('bad-option', `${name}: got softCap ${softCap}; it must be a finite number above 0`);
  return sizes;
};

/**
 * Pairs of a query and a key that meet: all of them, or with the causal mask those up to the query's own position, or of the window there. With an
 * offset that is known only at a run, or with fewer keys than queries, the causal mask leaves none out.
 */
export const pairsOf = (
  specs: Pick<AttentionSpecs, 'q' | 'k' | 'offset'>,
  { causal, window = Number.POSITIVE_INFINITY }: AttentionAttrs,
): number => {
  const { batch, heads, queries, keys } = attentionSizes(specs);
  if (!causal || specs.offset || keys < queries) return batch * heads * queries * Math.min(keys, window);
  // Queries before the window is full see one key more each.
  const growing = Math.min(queries, Math.max(0, window - (keys - queries)));
  const first = keys - queries + 1;
  return (
    batch * heads * (growing * (first + (growing - 1) / 2) + (growing < queries ? (queries - growing) * window : 0))
  );
};

/** A scaled score under a cap: softCap · tanh(score / softCap). */
export const cappedScore = (score: number, { softCap }: AttentionAttrs): number =>
  softCap === undefined ? score : softCap * Math.tanh(score / softCap);

/** Whether query t of batch b sees key s, under masks by value. */
export const visibility = (
  { queries, keys }: AttentionSizes,
  { causal, window = Number.POSITIVE_INFINITY }: AttentionAttrs,
  keyMask: ArrayLike<number> | undefined,
  offset: ArrayLike<number> | undefined,
): ((b: number, t: number, s: number) => boolean) => {
  const shift = offset ? offset[0]! : keys - queries;
  return (b, t, s) =>
    (!causal || (s <= t + shift && s > t + shift - window)) && (!keyMask || keyMask[b * keys + s]! > 0.5);
};
