import { type Patch, type Scope, select, type Target } from '@peftjs/core';
import { add, sub } from '@peftjs/tensor';
import type { Linear, Model, Norm } from '@peftjs/transformer';

/** Which biases are trained beside an adapter: none, all of the model, or those of the adapted layers. */
export type BiasChoice = 'none' | 'all' | 'lora_only';

const trainLinearBias = (base: Linear, own: Scope, name: string): Linear => {
  const { bias } = base.dense();
  if (!bias) return base;
  const trained = own.param(name, bias.shape, bias);
  return {
    ...base,
    apply: (x, call) => add(base.apply(x, call), sub(trained, bias)),
    dense: () => ({ weight: base.dense().weight, bias: trained }),
  };
};

const trainNormBias = (base: Norm, own: Scope): Norm =>
  base.bias ? base.encode({ weight: base.weight, bias: own.param('bias', base.bias.shape, base.bias) }) : base;

/**
 * A patch that trains biases that the base has, as Hugging Face PEFT's `bias` does. Their names end in `base_layer.bias` in adapted layers,
 * else in `bias`.
 */
export const trainBiases = (model: Model, scope: Scope, choice: BiasChoice, target: Target, method: string): Patch => {
  if (choice === 'none') return {};
  const adapted = new Set(select(model.linears.keys(), target, method));
  const linears = [...model.linears.keys()].filter((path) => choice === 'all' || adapted.has(path));
  return {
    linear: new Map(
      linears.map((path) => {
        const name = adapted.has(path) ? 'base_layer.bias' : 'bias';
        return [path, (base) => trainLinearBias(base, scope.at(path), name)];
      }),
    ),
    norm: new Map(
      choice === 'all'
        ? [...model.norms.keys()].map((path) => [path, (base) => trainNormBias(base, scope.at(path))])
        : [],
    ),
  };
};
