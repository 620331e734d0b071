import { PeftError } from '@peftjs/tensor';
import type { AdapterConfig, Compacted, Method, MethodFormat, State } from './method.ts';
import { mergePatches } from './patch.ts';
import { prepare } from './prepare.ts';

/** `peft_type` of several methods in one file, which Hugging Face PEFT has no layout for: `methods` holds the configuration of each. */
const listType = 'PEFTJS_LIST';

const prefixOf = (i: number): string => `methods.${i}.`;

/** The part of a state whose names begin so, under the names without that. */
export const stateUnder = (state: State, prefix: string): State =>
  new Map([...state].flatMap(([name, t]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), t]] : [])));

const compacted =
  (methods: readonly Method[]): NonNullable<Method['compact']> =>
  async (model, state, on): Promise<Compacted> => {
    const parts: Compacted[] = [];
    for (const [i, method] of methods.entries()) {
      const own = stateUnder(state, prefixOf(i));
      parts.push((await method.compact?.(model, own, on)) ?? { method, state: own });
    }
    const named = parts.flatMap((p, i) => [...p.state].map(([name, t]) => [prefixOf(i) + name, t] as const));
    return { method: make(parts.map((p) => p.method)), state: new Map(named) };
  };

const make = (methods: readonly Method[]): Method => {
  if (methods.length === 1) return methods[0]!;
  return {
    name: methods.map((m) => m.name).join(' + ') || 'nothing',
    parts: methods,
    merges: methods.every((m) => m.merges),
    attach: (model, scope) => mergePatches(methods.map((m, i) => m.attach(model, scope.at(prefixOf(i).slice(0, -1))))),
    config: (model): AdapterConfig => ({ peft_type: listType, methods: methods.map((m) => m.config(model)) }),
    ...(methods.some((m) => m.prepare) && {
      prepare: async (model, look) => make(await prepare(model, methods, look)),
    }),
    ...(methods.some((m) => m.compact) && { compact: compacted(methods) }),
  };
};

/**
 * Several methods as one, later ones around earlier ones. The names of the i-th one's tensors begin with `methods.<i>.`. One alone stays as
 * it is. For other methods in other layers or at other targets see `within`.
 */
export const combine: ((methods: readonly Method[]) => Method) & Pick<MethodFormat, 'reads' | 'fromConfig'> =
  Object.assign(make, {
    reads: ({ peft_type }: AdapterConfig) => peft_type === listType,
    fromConfig: ({ methods }: AdapterConfig, build: (config: AdapterConfig) => Method): Method => {
      if (!Array.isArray(methods) || methods.length === 0)
        throw new PeftError('bad-adapter', `adapter_config.json of type ${listType} must list its methods`);
      return make((methods as readonly AdapterConfig[]).map(build));
    },
  });
