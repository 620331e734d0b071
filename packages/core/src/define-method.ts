import { type AdapterLayout, isObject, type JsonObject, type JsonValue } from '@peftjs/io';
import type { OnExecutor } from '@peftjs/tensor';
import { PeftError, shown } from '@peftjs/tensor';
import type { Model, TaskModel } from '@peftjs/transformer';
import {
  type AdaptingOptions,
  adaptedLayers,
  adaptingOptions,
  type Beside,
  type Choosing,
  isNarrowed,
  targetKey,
  withBeside,
} from './adapting.ts';
import type { LayerTarget } from './layer-target.ts';
import type { LayersInView } from './layers-in-view.ts';
import type {
  AdapterConfig,
  Compacted,
  Method,
  MethodCard,
  MethodFormat,
  Patch,
  PrepareOptions,
  Scope,
  State,
} from './method.ts';
import type { Option, OptionTable } from './option.ts';
import type { Mixes, Settled } from './settled.ts';

/** Options with nothing left open. */
export type Chosen<O> = { readonly [K in keyof O]-?: Exclude<O[K], undefined> };

/**
 * Options as one gives them: a method of PEFT's layout that has a `target` takes it in all its forms, and has the options that all such
 * methods have.
 */
export type Given<O> = O extends { readonly target?: unknown }
  ? Omit<O, 'target'> & { readonly target?: LayerTarget } & AdaptingOptions
  : O;

/** The function that a method computes, and its options. */
export interface MethodFormula<O> {
  /** Whether it folds into the weights; one that depends on its input does not. */
  readonly merges: boolean;
  readonly options: OptionTable<O>;
  /** The fault of options that are sound one by one; null when there is none. */
  check?(options: Partial<Chosen<O>>): string | null;
  /** Further options, chosen by a look at data before training: masks, first values. See `Method.prepare`. */
  prepare?(model: TaskModel, options: Chosen<O>, look: PrepareOptions): Promise<O>;
  /** False where that look is at the base's weights alone. See `Method.needsData`. */
  readonly needsData?: false;
  /** The same function in fewer tensors, once training is over; `again` makes the method of other options. See `Method.compact`. */
  compact?(
    model: Model,
    options: Chosen<O>,
    state: State,
    on: OnExecutor,
    again: (options: Chosen<O>) => Method,
  ): Promise<Compacted>;
  attach(model: Model, scope: Scope, options: Chosen<O>): Patch;
}

/** The place of a method in `adapter_config.json` and among the names of tensors. */
export interface MethodFiles<O> {
  /** Hugging Face PEFT's, where it has the method; else one of our own. */
  readonly peftType: string;
  /** Whose files it has. Default: Hugging Face PEFT's. See `Method.layout`. */
  readonly layout?: AdapterLayout;
  /** See `Method.hubTable`. */
  readonly hubTable?: string;
  /** Whether a file of this `peft_type`, or one of adapter-hub/adapters where that is the layout, is this method. Default: it is. */
  reads?(config: AdapterConfig): boolean;
  /** The same method in another layout, with names of its own: `load` takes its files too. */
  readonly also?: FactoryFormat;
  /**
   * Fields of a file that would change the function, with the only values that are computed here; null, absent and empty are always fine.
   */
  readonly computes?: Readonly<Record<string, readonly JsonValue[]>>;
  /** Anything else that a file asks for and that cannot be done here, and what to do about it; null when there is nothing. */
  refuses?(config: AdapterConfig): string | null;
  /**
   * Whether Hugging Face PEFT's mixed models take it beside other methods: in the same layers too, where what it adds does not depend on what
   * they change; or where they change others. Default: they don't.
   */
  readonly mixes?: Mixes;
  /** Further fields of `adapter_config.json`. */
  config?(model: Model, options: Chosen<O>): JsonObject;
  /** Names of tensors whose key in the file is another one than the layout's; a name that ends with a dot is the beginning of several. */
  readonly keys?: Readonly<Record<string, string>>;
  /** Names of tensors that files may hold again for each layer. See `Method.repeated`. */
  readonly repeated?: readonly string[];
  /** Tensors that files hold again under other names. See `Method.copies`. */
  copies?(model: Model, options: Chosen<O>, names: readonly string[]): ReadonlyMap<string, string>;
  /** Other names that files may have for tensors. See `Method.aliases`. */
  readonly aliases?: Readonly<Record<string, string>>;
}

/** A method as one record: its formula, its place in the files, its card. One file each. */
export interface MethodDef<O> {
  /** The paper's name, in lower camel. */
  readonly name: string;
  readonly formula: MethodFormula<O>;
  readonly files: MethodFiles<O>;
  readonly card: MethodCard;
}

/** A `MethodFormat` of a method that has no other method inside it. */
export interface FactoryFormat extends MethodFormat {
  fromConfig(config: AdapterConfig): Method;
}

/** A function from options to a method, that also says what it is and reads saved configurations. */
export type MethodFactory<O> = (Record<never, never> extends O
  ? (options?: Given<O>) => Method
  : (options: Given<O>) => Method) &
  FactoryFormat & {
    /** The options that there are. */
    readonly options: OptionTable<O>;
    /** The options that a configuration holds, with those that are absent filled in. Throws `bad-adapter`. */
    optionsOf(config: AdapterConfig, model: Model): Chosen<O>;
  };

const entriesOf = <O>(table: OptionTable<O>): [keyof O & string, Option<unknown>][] =>
  Object.entries(table) as unknown as [keyof O & string, Option<unknown>][];

/** Whether it adapts layers as Hugging Face PEFT's methods do, and so has the options that all those have. */
const adapts = ({ files: { layout = 'peft' }, formula: { options } }: MethodDef<never>): boolean =>
  layout === 'peft' &&
  Object.values<Option<unknown>>(options).some(({ key, candidates }) => key === targetKey && candidates !== undefined);

/** Its options, with those that it shares. */
const tableOf = <O>(def: MethodDef<O>): OptionTable<O> =>
  adapts(def as MethodDef<never>) ? { ...adaptingOptions, ...def.formula.options } : def.formula.options;

/** The layers that it adapts in a model. */
const layersInView = <O>(def: MethodDef<O>, chosen: Chosen<O>, model: Model, strict: boolean): LayersInView => {
  const asked = { method: def.name, strict };
  if (!adapts(def as MethodDef<never>))
    return { ...asked, model, paths: () => [], narrowed: false, savedTarget: () => [] };
  const [name, { candidates, toJson }] = entriesOf(def.formula.options).find(([, { key }]) => key === targetKey)!;
  const choosing = { ...(chosen as unknown as Required<AdaptingOptions>), target: chosen[name] as LayerTarget };
  let found: readonly string[] | undefined;
  const layers: LayersInView = {
    ...asked,
    model,
    paths: () => (found ??= adaptedLayers(model, choosing, [...candidates!(model)], asked)),
    narrowed: isNarrowed(choosing),
    savedTarget: () => toJson!(chosen[name], layers)!,
  };
  return layers;
};

const checkOptions = <O>(def: MethodDef<O>, given: O): void => {
  const { name, formula } = def;
  const { check } = formula;
  const known = new Map(entriesOf(tableOf(def)));
  const problems = Object.entries(given as object).flatMap(([key, value]) => {
    const option = known.get(key as never);
    if (!option) return [`there is no option ${key}; there are ${[...known.keys()].join(', ')}`];
    return value === undefined || option.accepts(value)
      ? []
      : [`${key} must be ${option.expected}, got ${shown(value)}`];
  });
  const together = problems.length === 0 ? check?.(given as Partial<Chosen<O>>) : null;
  if (together) problems.push(together);
  if (problems.length > 0) throw new PeftError('bad-option', `${name}: ${problems.join('; ')}`);
};

const choose = <O>(def: MethodDef<O>, given: O, model: Model): Chosen<O> =>
  Object.fromEntries(
    entriesOf(tableOf(def)).map(([key, option]) => [key, given[key] ?? option.fallback(model)]),
  ) as Chosen<O>;

const isEmpty = (value: unknown): boolean =>
  value == null ||
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === 'object' && !Object.keys(value).length);

/** Options as `attach` is given them: targets as paths, patterns as values by path. */
const resolved = <O>(def: MethodDef<O>, chosen: Chosen<O>, layers: LayersInView): Chosen<O> =>
  Object.fromEntries(
    entriesOf(tableOf(def)).map(([key, { resolve }]) => [key, resolve ? resolve(chosen[key], layers) : chosen[key]]),
  ) as Chosen<O>;

/** The value of a field; `velora_config.scale` is one of an object's. */
const fieldOf = (config: JsonObject, key: string): JsonValue | undefined => {
  const [outer, inner] = key.split('.') as [string, string?];
  const value = config[outer];
  if (inner === undefined) return value;
  return isObject(value) ? (value as JsonObject)[inner] : undefined;
};

/** An object with such fields. */
const nested = (fields: readonly (readonly [key: string, value: JsonValue])[]): JsonObject => {
  const all: Record<string, JsonValue> = {};
  for (const [key, value] of fields) {
    const [outer, inner] = key.split('.') as [string, string?];
    all[outer] = inner === undefined ? value : { ...(all[outer] as JsonObject), [inner]: value };
  }
  return all;
};

const optionsFrom = <O>(def: MethodDef<O>, config: AdapterConfig): O => {
  const { name, files } = def;
  const { computes = {}, refuses } = files;
  const odd = Object.entries(computes)
    .filter(([field, only]) => !isEmpty(config[field]) && !only.some((v) => v === config[field]))
    .map(([field]) => `${field} = ${shown(config[field])}`);
  const problems = odd.length > 0 ? [`it asks for what is not computed here: ${odd.join(', ')}`] : [];
  const refused = refuses?.(config);
  if (refused) problems.push(refused);
  const given: Record<string, unknown> = {};
  for (const [key, { key: field, fromJson, accepts, expected }] of entriesOf(tableOf(def))) {
    const value = field === null ? undefined : fieldOf(config, field);
    if (value == null) continue;
    try {
      const read = fromJson ? fromJson(value!, config) : value;
      if (accepts(read)) given[key] = read;
      else problems.push(`${field} must be ${expected}, got ${shown(value)}`);
    } catch (error) {
      problems.push(`${field}: ${(error as Error).message}, got ${shown(value)}`);
    }
  }
  if (problems.length > 0) throw new PeftError('bad-adapter', `${name}: adapter_config.json: ${problems.join('; ')}`);
  return given as O;
};

/** A method with its layers named one by one; null where it trains more than those. */
const settledIn = <O>(def: MethodDef<O>, given: O, part: Model, strict: boolean): Settled | null => {
  const chosen = choose(def, given, part);
  const { bias = 'none', modulesToSave, trainableTokens = [] } = chosen as unknown as Beside;
  const { targetParameters = [] } = chosen as unknown as Choosing;
  if (
    bias === 'all' ||
    modulesToSave.length > 0 ||
    targetParameters.length > 0 ||
    Object.keys(trainableTokens).length > 0
  )
    return null;
  const layers = layersInView(def, chosen, part, strict);
  const all = { ...resolved(def, chosen, layers), layers: [], layersPattern: [], exclude: [] };
  return {
    record: def,
    table: tableOf(def),
    options: all,
    paths: layers.paths(),
    mixes: bias === 'none' ? (def.files.mixes ?? null) : null,
    make: (options) => make(def, options as O, false),
  };
};

/** `strict`: whether names and patterns must each name a layer. */
const make = <O>(def: MethodDef<O>, given: O, strict = true): Method => {
  checkOptions(def, given);
  const { name, formula, files } = def;
  const { merges, prepare, needsData, compact } = formula;
  const { peftType, layout, hubTable, keys, repeated, copies, aliases, config } = files;
  const forModel = (model: Model): readonly [chosen: Chosen<O>, layers: LayersInView] => {
    const chosen = choose(def, given, model);
    return [chosen, layersInView(def, chosen, model, strict)];
  };
  return {
    name,
    merges,
    learningRate: def.card.learningRate,
    ...(def.card.narrowRate !== undefined && { narrowRate: def.card.narrowRate }),
    ...(layout && { layout }),
    ...(hubTable !== undefined && { hubTable }),
    attach: (model, scope) => {
      const [chosen, layers] = forModel(model);
      const own = formula.attach(model, scope, resolved(def, chosen, layers));
      if (!adapts(def as MethodDef<never>)) return own;
      return withBeside(own, model, scope, layers.paths(), chosen as unknown as Required<AdaptingOptions>, layers);
    },
    config: (model) => {
      const [chosen, layers] = forModel(model);
      const fields = entriesOf(tableOf(def)).flatMap(([key, { key: field, toJson }]) => {
        const value = field === null ? undefined : toJson ? toJson(chosen[key], layers) : (chosen[key] as JsonValue);
        return value === undefined ? [] : [[field!, value] as const];
      });
      return {
        peft_type: peftType,
        ...nested(fields),
        ...config?.(model, chosen),
      };
    },
    ...(adapts(def as MethodDef<never>) && { settled: (part: Model) => settledIn(def, given, part, strict) }),
    ...(keys && { keys }),
    ...(repeated && { repeated }),
    ...(copies && {
      copies: (model: Model, names: readonly string[]) => copies(model, choose(def, given, model), names),
    }),
    ...(aliases && { aliases }),
    ...(needsData === false && { needsData }),
    ...(prepare && {
      prepare: async (model, look) => {
        const [chosen, layers] = forModel(model);
        return make(def, { ...given, ...(await prepare(model, resolved(def, chosen, layers), look)) }, strict);
      },
    }),
    ...(compact && {
      compact: (model, state, on) =>
        compact(model, choose(def, given, model), state, on, (options) => make(def, options as O, strict)),
    }),
  };
};

/**
 * Makes a method of its record: options are checked (`bad-option`, all mistakes at once), filled in for the model, written to and read from
 * `adapter_config.json`.
 */
export const defineMethod = <O extends object>(def: MethodDef<O>): MethodFactory<O> => {
  const { name, formula, files, card } = def;
  const { peftType, layout, reads = () => true, also } = files;
  const isOwn = (config: AdapterConfig): boolean =>
    (config.peft_type === undefined ? layout === 'adapter-hub' : config.peft_type === peftType) && reads(config);
  const factory = Object.assign((options: O = {} as O): Method => make(def, options), {
    ...card,
    peftType,
    merges: formula.merges,
    options: tableOf(def),
    reads: (config: AdapterConfig) => isOwn(config) || (also?.reads(config) ?? false),
    fromConfig: (config: AdapterConfig): Method =>
      also?.reads(config) && !isOwn(config) ? also.fromConfig(config) : make(def, optionsFrom(def, config), false),
    optionsOf: (config: AdapterConfig, model: Model): Chosen<O> => choose(def, optionsFrom(def, config), model),
  });
  Object.defineProperty(factory, 'name', { value: name });
  return factory as unknown as MethodFactory<O>;
};
