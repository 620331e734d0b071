import type { AdapterConfig, Compacted, Method, State } from './method.ts';
import { mergePatches } from './patch.ts';

/** `peft_type` of several methods in one file, which Hugging Face PEFT has no layout for: `methods` holds the configuration of each. */
export const listType = 'PEFTJS_LIST';

const prefixOf = (i: number): string => `methods.${i}`;

/** The part of a state that belongs to one of the methods, under its own names. */
const part = (state: State, i: number): State => {
  const prefix = `${prefixOf(i)}.`;
  return new Map([...state].flatMap(([name, t]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), t]] : [])));
};

/**
 * Several methods as one, later ones around earlier ones. The names of the i-th one's tensors begin with `methods.<i>.`.
 * One alone stays as it is.
 */
export const combine = (name: string, methods: readonly Method[]): Method => {
  if (methods.length === 1) return methods[0]!;
  return {
    name,
    merges: methods.every((m) => m.merges),
    attach: (model, scope) => mergePatches(methods.map((m, i) => m.attach(model, scope.at(prefixOf(i))))),
    config: (model): AdapterConfig => ({ peft_type: listType, methods: methods.map((m) => m.config(model)) }),
    ...(methods.some((m) => m.prepare) && {
      prepare: async (model, data, executor) => {
        const ready: Method[] = [];
        for (const m of methods) ready.push((await m.prepare?.(model, data, executor)) ?? m);
        return combine(name, ready);
      },
    }),
    ...(methods.some((m) => m.compact) && {
      compact: async (model, state, executor): Promise<Compacted> => {
        const parts: Compacted[] = [];
        for (const [i, m] of methods.entries()) {
          const own = part(state, i);
          parts.push((await m.compact?.(model, own, executor)) ?? { method: m, state: own });
        }
        const prefixed = parts.flatMap((p, i) => [...p.state].map(([n, t]) => [`${prefixOf(i)}.${n}`, t] as const));
        return {
          method: combine(
            name,
            parts.map((p) => p.method),
          ),
          state: new Map(prefixed),
        };
      },
    }),
  };
};
