import { type houlsby, pfeiffer } from '@peftjs/adapters';
import { attach } from '@peftjs/core';
import { normalValues, randomSource, sizeOf } from '@peftjs/tensor';
import { describeMethods } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import type { FusedAdapter } from '../src/index.ts';
import * as family from '../src/index.ts';

/** An adapter of a model with random values. */
const trained = (model: TaskModel, factory: typeof houlsby, name: string): FusedAdapter => {
  const { method, state } = attach(model, [factory({ bottleneck: 3 })]);
  return {
    config: method.config(model),
    state: new Map(
      [...state].map(([key, { shape }]) => [
        key,
        { shape, data: normalValues(sizeOf(shape), 0.2, randomSource(7, name + key)) },
      ]),
    ),
  };
};

describeMethods(family, {
  adapterFusion: {
    options: (model) => ({ adapters: { one: trained(model, pfeiffer, 'one'), two: trained(model, pfeiffer, 'two') } }),
    identity: false,
    parameters: ({ paths, main: { hiddenSize: d } }) => paths('block').length * (3 * d * d + 2 * d),
  },
});
