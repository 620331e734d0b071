import type { AdapterConfig, JsonObject } from '@peftjs/core';
import { add, sub, type Tensor } from '@peftjs/tensor';
import type { Call } from '@peftjs/transformer';
import type { Bottleneck } from './bottleneck.ts';

/** A sublayer that an adapter may follow. */
export type Sublayer = 'attn' | 'mlp';

/**
 * Where adapters are, what they read and what they are added to: y is a sublayer's output and h the residual stream that it is added to.
 * The names are those of adapter-hub/adapters. In models whose norms come after their sublayers (BERT, BART) y + h is normed, by the norm that the base has for
 * it; in those whose norms stand before them none of these is about a norm.
 */
export interface Placement {
  /** The sublayers that have one. */
  readonly sublayers: readonly Sublayer[];
  /** Whether it reads h, and is added to y. */
  readonly parallel: boolean;
  /** Whether one that follows reads y + h, not y alone. */
  readonly originalLnBefore: boolean;
  /** Whether h is added to its result. */
  readonly originalLnAfter: boolean;
  /** Whether its result holds y, not what it reads. */
  readonly residualBeforeLn: boolean;
}

/** The placement that a configuration of adapter-hub/adapters says. */
export const placementIn = (config: AdapterConfig): Placement => {
  const is = (field: string, absent = false): boolean => (config[field] ?? absent) === true;
  return {
    sublayers: [...(is('mh_adapter') ? ['attn' as const] : []), ...(is('output_adapter') ? ['mlp' as const] : [])],
    parallel: is('is_parallel'),
    originalLnBefore: is('original_ln_before'),
    originalLnAfter: is('original_ln_after', true),
    residualBeforeLn: is('residual_before_ln', true),
  };
};

/** The same as fields of a configuration. */
export const placementFields = (at: Placement): JsonObject => ({
  mh_adapter: at.sublayers.includes('attn'),
  output_adapter: at.sublayers.includes('mlp'),
  is_parallel: at.parallel,
  original_ln_before: at.originalLnBefore,
  original_ln_after: at.originalLnAfter,
  residual_before_ln: at.residualBeforeLn,
});

/** Whether the result holds y + h, as what it reads. */
const carries = ({ parallel, originalLnBefore, residualBeforeLn }: Placement): boolean =>
  !parallel && originalLnBefore && !residualBeforeLn;

/** Whether two placements are one function. */
export const samePlace = (a: Placement, b: Placement): boolean => {
  const key = (at: Placement): string =>
    [at.sublayers.toSorted(), at.parallel, !at.parallel && at.originalLnBefore, at.originalLnAfter, carries(at)].join();
  return key(a) === key(b);
};

/** The input of an adapter, made of y and h: in models whose norms come after their sublayers the norm of their sum, where it is of both. */
export const readAt = ({ parallel, originalLnBefore }: Placement, y: Tensor, h: Tensor, { norm }: Call): Tensor => {
  if (parallel) return h;
  if (!originalLnBefore) return y;
  return norm ? norm(add(y, h)) : add(y, h);
};

/** y with an adapter: what takes its place before h is added to it. */
export const adapted = (
  at: Placement,
  adapter: Bottleneck,
  { lnAfter, adapterResidualBeforeLn }: { readonly lnAfter: boolean; readonly adapterResidualBeforeLn: boolean },
  [y, h]: readonly [y: Tensor, h: Tensor],
  call: Call,
): Tensor => {
  const read = readAt(at, y, h, call);
  const added = adapter.added(read, call);
  const normsSum = lnAfter && adapterResidualBeforeLn && !at.parallel;
  // The model adds h itself, so where the result holds it once there is nothing to do.
  const once = carries(at) && !at.originalLnAfter && !normsSum;
  const residual = carries(at) && !once ? read : y;
  const sum = normsSum ? adapter.after(add(added, residual)) : add(residual, adapter.after(added));
  return at.originalLnAfter || once ? sum : sub(sum, h);
};
