import { PeftError } from '@peftjs/tensor';
import { attach } from './attach.ts';
import { lowestRate } from './lowest-rate.ts';
import type { AdapterConfig, Compacted, Method, MethodFormat } from './method.ts';
import { mergePatches } from './patch.ts';
import { prepare } from './prepare.ts';

/** `peft_type` of a union among other methods in a file; its own files have none. */
const unionType = 'PEFTJS_UNION';

const rateOf = (methods: readonly Method[]): { readonly learningRate?: number } => {
  const learningRate = lowestRate(methods);
  return learningRate === null ? {} : { learningRate };
};

/** Each method's tensors in their final form; a method's own are those that it makes by itself. */
const compacted =
  (methods: readonly Method[]): NonNullable<Method['compact']> =>
  async (model, state, on): Promise<Compacted> => {
    const parts: Compacted[] = [];
    for (const method of methods) {
      const names = attach(model, [method]).state;
      const own = new Map([...state].filter(([name]) => names.has(name)));
      parts.push((await method.compact?.(model, own, on)) ?? { method, state: own });
    }
    return { method: make(parts.map((p) => p.method)), state: new Map(parts.flatMap((p) => [...p.state])) };
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
  ...(methods.some((m) => m.prepare) && {
    prepare: async (model, look) => make(await prepare(model, methods, look)),
  }),
  ...(methods.some((m) => m.compact) && { compact: compacted(methods) }),
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
