import type { AdapterConfig, FactoryFormat, Method, MethodCard, MethodFactory } from '@peftjs/core';
import { isObject, union } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';

/** A factory of any options, as a part of a recipe. */
type Part = FactoryFormat & ((options?: never) => Method);

/** A method that is several others at once, each with options of its own. */
export interface RecipeDef<O extends object> {
  readonly name: string;
  readonly peftType: string;
  readonly card: MethodCard;
  /** By the name of its options, innermost first. */
  readonly parts: { readonly [K in keyof O]-?: Part };
  /** Options of the parts that are not those parts' own defaults. */
  readonly defaults: { readonly [K in keyof O]-?: object };
}

/** The configurations of a union, if a file says that it is one. */
const configsOf = ({ architecture, configs }: AdapterConfig): readonly AdapterConfig[] | null =>
  architecture === 'union' && Array.isArray(configs) && configs.every(isObject)
    ? (configs as readonly AdapterConfig[])
    : null;

/**
 * Makes a method of its parts: a `union`, so with the names and the files that the adapters library gives it. Throws `bad-option` for a part
 * that there is not, and what the parts throw.
 */
export const defineRecipe = <O extends object>(def: RecipeDef<O>): MethodFactory<O> => {
  const { name, peftType, card, parts, defaults } = def;
  const list = Object.entries<Part>(parts);
  const given: Readonly<Record<string, object>> = defaults;
  const make = (methods: readonly Method[]): Method => {
    const all = union(methods);
    return { ...all, name, config: (model) => ({ ...all.config(model), peft_type: peftType }) };
  };
  const factory = (options: Readonly<Record<string, unknown>> = {}): Method => {
    const names = list.map(([part]) => part);
    const odd = Object.keys(options).filter((part) => !names.includes(part));
    if (odd.length > 0)
      throw new PeftError('bad-option', `${name}: there is no option ${odd.join(', ')}; there are ${names.join(', ')}`);
    return make(list.map(([part, of]) => of({ ...given[part], ...(options[part] as object | undefined) } as never)));
  };
  const made = Object.assign(factory, {
    ...card,
    peftType,
    merges: false,
    reads: (config: AdapterConfig): boolean => {
      const configs = configsOf(config);
      const isOwn = config.peft_type === undefined || config.peft_type === peftType;
      return isOwn && configs?.length === list.length && list.every(([, of], i) => of.reads(configs[i]!));
    },
    fromConfig: (config: AdapterConfig): Method => make(list.map(([, of], i) => of.fromConfig(configsOf(config)![i]!))),
  });
  Object.defineProperty(made, 'name', { value: name });
  return made as unknown as MethodFactory<O>;
};
