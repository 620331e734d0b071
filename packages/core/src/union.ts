import { PeftError } from '@peftjs/tensor';
import { lowestRate } from './lowest-rate.ts';
import type { AdapterConfig, Method, MethodFormat } from './method.ts';
import { mergePatches } from './patch.ts';

/** `peft_type` of a union among other methods in a file; its own files have none. */
const unionType = 'PEFTJS_UNION';

const rateOf = (methods: readonly Method[]): { readonly learningRate?: number } => {
  const learningRate = lowestRate(methods);
  return learningRate === null ? {} : { learningRate };
};

const make = (methods: readonly Method[]): Method => ({
  ...rateOf(methods),
  name: methods.map((m) => m.name).join(' + ') || 'nothing',
  layout: 'adapter-hub',
  merges: methods.every((m) => m.merges),
  attach: (model, scope) => mergePatches(methods.map((m) => m.attach(model, scope))),
  config: (model): AdapterConfig => ({
    peft_type: unionType,
    architecture: 'union',
    configs: methods.map((m) => m.config(model)),
  }),
  keys: Object.assign({}, ...methods.map((m) => m.keys)) as Readonly<Record<string, string>>,
});

/**
 * Several methods as one, as adapter-hub/adapters does it: later ones around earlier ones, and the tensors keep their names, which must
 * differ. Its files have that layout, with the `architecture` union.
 */
export const union: ((methods: readonly Method[]) => Method) & Pick<MethodFormat, 'reads' | 'fromConfig'> =
  Object.assign(make, {
    reads: ({ peft_type, architecture }: AdapterConfig) =>
      peft_type === unionType || (peft_type === undefined && architecture === 'union'),
    fromConfig: ({ configs }: AdapterConfig, build: (config: AdapterConfig) => Method): Method => {
      if (!Array.isArray(configs) || configs.length === 0)
        throw new PeftError('bad-adapter', 'adapter_config.json of a union must list its configs');
      return make((configs as readonly AdapterConfig[]).map(build));
    },
  });
