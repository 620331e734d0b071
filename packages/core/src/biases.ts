import { add, sub } from '@peftjs/tensor';
import type { Linear, Model, Norm, Path } from '@peftjs/transformer';
import type { Patch, Scope } from './method.ts';
import type { Option } from './option.ts';

/** Which biases are trained beside an adapter: none, all of the model, or those of the adapted layers. */
export type BiasChoice = 'none' | 'all' | 'adapted';

const choices: readonly unknown[] = ['none', 'all', 'adapted'];

/**
 * The option `bias` of methods that have it in Hugging Face PEFT; `defineMethod` trains the biases. `prefix`: what that library calls the
 * adapted ones by: `lora` for `lora_only`.
 */
export const biases = (prefix: string): Option<BiasChoice> => ({
  key: 'bias',
  fallback: () => 'none',
  expected: 'one of none, all, adapted',
  accepts: (v) => choices.includes(v),
  toJson: (choice) => (choice === 'adapted' ? `${prefix}_only` : choice),
  // Hugging Face PEFT asks for no more than this end of the word.
  fromJson: (value) => (typeof value === 'string' && value.endsWith('_only') ? 'adapted' : value),
});

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
 * else in `bias`. `whole`: layers that are trained with all that they have.
 */
export const trainBiases = (
  model: Model,
  scope: Scope,
  choice: BiasChoice,
  layers: readonly Path[],
  whole: ReadonlySet<Path>,
): Patch => {
  if (choice === 'none') return {};
  const adapted = new Set(layers);
  const linears = [...model.linears.keys()].filter(
    (path) => !whole.has(path) && (choice === 'all' || adapted.has(path)),
  );
  const norms = choice === 'all' ? [...model.norms.keys()].filter((path) => !whole.has(path)) : [];
  return {
    linear: new Map(
      linears.map((path) => {
        const name = adapted.has(path) ? 'base_layer.bias' : 'bias';
        return [path, (base) => trainLinearBias(base, scope.at(path), name)];
      }),
    ),
    norm: new Map(norms.map((path) => [path, (base) => trainNormBias(base, scope.at(path))])),
  };
};
