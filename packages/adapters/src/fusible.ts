import type { AdapterConfig, MethodFactory, MiddlewareTable, Scope } from '@peftjs/core';
import type { Tensor } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { bottleneck } from './bottleneck.ts';
import { afterSublayers, type BottleneckKind, type Reads, shapeOf } from './define-bottleneck.ts';
import { houlsby, houlsbyKind } from './houlsby.ts';
import type { BottleneckOptions } from './options.ts';
import { pfeiffer, pfeifferKind } from './pfeiffer.ts';

/** A saved adapter after sublayers, taken apart: for methods that combine several. */
export interface Fusible {
  /** `houlsby` or `pfeiffer`. */
  readonly name: string;
  readonly leaveOut: readonly number[];
  /** Its input. */
  readonly reads: Reads;
  /** The term that it adds to a sublayer's output, without dropout and gate. Its tensors are made in `scope`. */
  up(scope: Scope): (x: Tensor) => Tensor;
  /** Middleware at its places. */
  around: (
    scope: Scope,
    make: (own: Scope, module: string) => (output: Tensor, stream: Tensor) => Tensor,
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
  return {
    name: kind.name,
    leaveOut: options.leaveOut,
    reads: kind.reads,
    up: (scope) => bottleneck(scope, { ...shapeOf(model, options), gating: false }, kind.init).up,
    around: (scope, make) => afterSublayers(model, scope, kind, options.leaveOut, make),
  };
};
