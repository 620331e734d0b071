import { type AdapterConfig, type Compacted, type Method, type MethodFormat, meanGate, stateUnder } from '@peftjs/core';
import { adapterHubGatedLora } from '@peftjs/lora';
import { PeftError } from '@peftjs/tensor';
import { gatedPatch } from './gated-patch.ts';

/** Options of `gated`. */
export interface GatedOptions {
  /** The method that is weighed; several with `combine`. */
  readonly method: Method;
}

const name = 'gated';
const peftType = 'PEFTJS_GATED';
const { paper } = adapterHubGatedLora; // the gates are UniPELT's

const isMethod = (value: unknown): value is Method =>
  typeof value === 'object' && value !== null && 'attach' in value && 'config' in value;

const make = ({ method, ...more }: GatedOptions): Method => {
  const odd = Object.keys(more);
  if (!isMethod(method) || odd.length > 0)
    throw new PeftError(
      'bad-option',
      isMethod(method)
        ? `gated: there is no option ${odd.join(', ')}; there is method`
        : `gated: method must be one, such as lora(), got ${JSON.stringify(method)}`,
    );
  return {
    name,
    merges: false,
    attach: (model, scope) => {
      const gates = scope.at('gates');
      return gatedPatch(model, method.attach(model, scope.at('method')), (path, place, dim) =>
        meanGate(gates.at(path), place, dim),
      );
    },
    config: (model): AdapterConfig => ({ peft_type: peftType, method: method.config(model) }),
    ...(method.prepare && {
      prepare: async (model, look) => make({ method: await method.prepare!(model, look) }),
    }),
    ...(method.compact && {
      compact: async (model, state, on): Promise<Compacted> => {
        const inner = await method.compact!(model, stateUnder(state, 'method.'), on);
        const own = [...state].filter(([key]) => key.startsWith('gates.'));
        const named = [...inner.state].map(([key, t]) => [`method.${key}`, t] as const);
        return { method: make({ method: inner.method }), state: new Map([...own, ...named]) };
      },
    }),
  };
};

/**
 * Any method or combination with a trained gate in every place that it changes: y = base + G·(method − base), keys, values and rows that it
 * puts in front multiplied by G; G = mean over the sequence of σ(w·x + b), x what goes into the layer or the sublayer; see `meanGate`. With
 * G = 1 it is the method, with G = 0 the base. A gate sees the whole sequence, so what comes later changes what came before; in generation
 * it sees the prompt, then each new token by itself. Files have a layout of our own. Does not merge. Throws `bad-option`. Mao et al., 2022. https://arxiv.org/abs/2110.07577
 */
export const gated: ((options: GatedOptions) => Method) & MethodFormat = Object.defineProperty(
  Object.assign((options: GatedOptions): Method => make(options), {
    about: 'a gate in every place that a method changes',
    peftType,
    paper,
    merges: false,
    learningRate: 1e-3,
    reads: ({ peft_type }: AdapterConfig): boolean => peft_type === peftType,
    fromConfig: ({ method }: AdapterConfig, build: (config: AdapterConfig) => Method): Method =>
      make({ method: build(method as AdapterConfig) }),
  }),
  'name',
  { value: name },
);
