import type { AdapterConfig, MethodFactory, MiddlewareTable, Scope } from '@peftjs/core';
import type { Tensor } from '@peftjs/tensor';
import type { Call, Model } from '@peftjs/transformer';
import { bottleneck } from './bottleneck.ts';
import { type AdapterPlace, afterSublayers, type BottleneckKind, shapeOf } from './define-bottleneck.ts';
import { houlsby, houlsbyKind } from './houlsby.ts';
import type { BottleneckOptions } from './options.ts';
import { pfeiffer, pfeifferKind } from './pfeiffer.ts';
import { readAt } from './placement.ts';

/** A saved adapter after sublayers, taken apart: for methods that combine several. */
export interface Fusible {
  /** `houlsby` or `pfeiffer`. */
  readonly name: string;
  readonly leaveOut: readonly number[];
  /** Its input, made of a sublayer's output and the residual stream that this is added to; all [batch, tokens, d]. */
  reads(output: Tensor, stream: Tensor, call: Call): Tensor;
  /** The term that it adds to a sublayer's output in its place, without dropout, gate and a norm after it. Its tensors are made in `scope`. */
  up(scope: Scope, place: AdapterPlace): (x: Tensor) => Tensor;
  /** Middleware at its places. */
  around: (
    scope: Scope,
    make: (own: Scope, place: AdapterPlace) => (output: Tensor, stream: Tensor, call: Call) => Tensor,
  ) => MiddlewareTable;
}

const kinds: readonly (readonly [MethodFactory<BottleneckOptions>, BottleneckKind])[] = [
  [houlsby, houlsbyKind],
  [pfeiffer, pfeifferKind],
];

/** The adapter of a configuration in a model; null where it is of another kind. Throws `bad-adapter`. */
export const fusible = (config: AdapterConfig, model: Model): Fusible | null => {
  const found = kinds.find(([factory]) => factory.reads(config));
  if (!found) return null;
  const [factory, kind] = found;
  const options = factory.optionsOf(config, model);
  const at = kind.placement(options);
  return {
    name: kind.name,
    leaveOut: options.leaveOut,
    reads: (output, stream, call) => readAt(at, output, stream, call),
    up: (scope, place) => bottleneck(scope, { ...shapeOf(place, options), gating: false, lnAfter: false }).up,
    around: (scope, make) => afterSublayers(model, scope, { name: kind.name, ...at, leaveOut: options.leaveOut }, make),
  };
};
