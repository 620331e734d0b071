import type { AdapterConfig } from '@peftjs/core';
import { combine, type FactoryFormat, type Method, type MethodCard, type MethodFactory } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';

/** A method of any options, as a part of a recipe, and its options that are not its own defaults. */
type Ingredient = readonly [of: FactoryFormat & ((options?: never) => Method), defaults: object];

/**
 * Makes a named combination: methods by the name of the option that holds theirs, innermost first, in the layout of adapter-hub/adapters, which
 * has the two that there are. Throws `bad-option` for a part that there is not, and what the parts throw.
 */
export const defineRecipe = <O extends object>(
  name: string,
  card: MethodCard,
  parts: { readonly [K in keyof O]-?: Ingredient },
): MethodFactory<O> => {
  const list = Object.entries<Ingredient>(parts);
  const { learningRate, narrowRate = learningRate } = card;
  const named = (all: Method): Method => ({ ...all, name, learningRate, narrowRate });
  const factory = (options: Readonly<Record<string, object | undefined>> = {}): Method => {
    const odd = Object.keys(options).filter((part) => !Object.hasOwn(parts, part));
    const there = Object.keys(parts).join(', ');
    if (odd.length > 0)
      throw new PeftError('bad-option', `${name}: there is no option ${odd.join(', ')}; there are ${there}`);
    const methods = list.map(([part, [of, defaults]]) => of({ ...defaults, ...options[part] } as never));
    return named(combine(methods, { layout: 'adapter-hub' }));
  };
  const format = {
    ...card,
    peftType: 'PEFTJS_COMBINATION',
    merges: false,
    reads: (config: AdapterConfig): boolean => {
      const configs = config['architecture'] === 'union' ? config['configs'] : null;
      const isOwn = ([, [of]]: (typeof list)[number], i: number): boolean => of.reads((configs as AdapterConfig[])[i]!);
      return combine.reads(config) && Array.isArray(configs) && configs.length === list.length && list.every(isOwn);
    },
    fromConfig: (config: AdapterConfig): Method =>
      named(combine.fromConfig(config, (own) => list.find(([, [of]]) => of.reads(own))![1][0].fromConfig(own))),
  };
  return Object.defineProperty(Object.assign(factory, format), 'name', { value: name }) as unknown as MethodFactory<O>;
};
