import { type Chosen, eachLayer, type ParamHint, type Patch, type Scope } from '@peftjs/core';
import type { Variable } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { addDelta } from '../add-delta.ts';
import { embeddingDelta } from '../embedding-delta.ts';
import { type LoraOptions, type LowRank, lowRank } from '../low-rank.ts';

/** LoRA in every targeted layer, with the tensors of a scope; and the updates of linear layers by their B, there once a view is made. */
export const attachLora = (
  name: string,
  model: Model,
  scope: Scope,
  options: Chosen<LoraOptions>,
): { readonly patch: Patch; readonly pairs: ReadonlyMap<Variable, LowRank> } => {
  const pairs = new Map<Variable, LowRank>();
  const patch = eachLayer(model, scope, options.target, name, {
    linear: (base, own, path) => {
      const pair = lowRank(base, own, path, options);
      pairs.set(pair.b, pair);
      return addDelta(base, pair);
    },
    embedding: (base, own, path) => embeddingDelta(base, own, path, options),
  });
  return { patch, pairs };
};

/** A scope whose parameters are made by `make`, which is given the scope of each. */
const remade = (scope: Scope, make: (own: Scope) => Scope['param']): Scope => ({
  ...scope,
  param: make(scope),
  at: (path) => remade(scope.at(path), make),
});

/** A scope in which LoRA's A stays as it was drawn. */
export const withFrozenA = (scope: Scope): Scope =>
  remade(
    scope,
    (own) => (name, shape, init, hint) =>
      name.startsWith('lora_A') ? own.buffer(name, shape, init) : own.param(name, shape, init, hint),
  );

/** A scope whose parameters have hints by their name. */
export const hinted = (scope: Scope, hintOf: (name: string) => ParamHint): Scope =>
  remade(scope, (own) => (name, shape, init, hint) => own.param(name, shape, init, { ...hintOf(name), ...hint }));
