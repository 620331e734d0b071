import type { AdapterLayout, JsonObject, JsonValue } from '@peftjs/io';
import type { Executor } from '@peftjs/tensor';
import { PeftError } from '@peftjs/tensor';
import type { Model, TaskModel } from '@peftjs/transformer';
import type {
  AdapterConfig,
  Compacted,
  Examples,
  Method,
  MethodCard,
  MethodFormat,
  Patch,
  Scope,
  State,
} from './method.ts';
import type { Option, OptionTable } from './option.ts';

/** Options with nothing left open. */
export type Chosen<O> = { readonly [K in keyof O]-?: Exclude<O[K], undefined> };

/** The function that a method computes, and its options. */
export interface MethodFormula<O> {
  /** Whether it folds into the weights; one that depends on its input does not. */
  readonly merges: boolean;
  readonly options: OptionTable<O>;
  /** The fault of options that are sound one by one; null when there is none. */
  check?(options: Partial<Chosen<O>>): string | null;
  /** Further options, chosen by a look at data before training: masks, first values. See `Method.prepare`. */
  prepare?(model: TaskModel, options: Chosen<O>, data: readonly Examples[], executor: Executor): Promise<O>;
  /** The same function in fewer tensors, once training is over. See `Method.compact`. */
  compact?(model: Model, options: Chosen<O>, state: State, executor: Executor): Promise<Compacted>;
  attach(model: Model, scope: Scope, options: Chosen<O>): Patch;
}

/** The place of a method in `adapter_config.json` and among the names of tensors. */
export interface MethodFiles<O> {
  /** Hugging Face PEFT's, where it has the method; else one of our own. */
  readonly peftType: string;
  /** Whose files it has. Default: Hugging Face PEFT's. See `Method.layout`. */
  readonly layout?: AdapterLayout;
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
  /** Further fields of `adapter_config.json`. */
  config?(model: Model, options: Chosen<O>): JsonObject;
  /** Names of tensors whose key in the file is another one than the layout's. */
  readonly keys?: Readonly<Record<string, string>>;
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
export type MethodFactory<O> = (Record<never, never> extends O ? (options?: O) => Method : (options: O) => Method) &
  FactoryFormat & {
    /** The options that there are. */
    readonly options: OptionTable<O>;
    /** The options that a configuration holds, with those that are absent filled in. Throws `bad-adapter`. */
    optionsOf(config: AdapterConfig, model: Model): Chosen<O>;
  };

const entriesOf = <O>(table: OptionTable<O>): [keyof O & string, Option<unknown>][] =>
  Object.entries(table) as unknown as [keyof O & string, Option<unknown>][];

const checkOptions = <O>({ name, formula: { options: table, check } }: MethodDef<O>, given: O): void => {
  const known = new Map(entriesOf(table));
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

const shown = (value: unknown): string => JSON.stringify(value) ?? String(value);

const choose = <O>({ formula }: MethodDef<O>, given: O, model: Model): Chosen<O> =>
  Object.fromEntries(
    entriesOf(formula.options).map(([key, option]) => [key, given[key] ?? option.fallback(model)]),
  ) as Chosen<O>;

const isEmpty = (value: unknown): boolean =>
  value == null ||
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === 'object' && !Object.keys(value).length);

const optionsFrom = <O>({ name, formula, files }: MethodDef<O>, config: AdapterConfig): O => {
  const { computes = {}, refuses } = files;
  const odd = Object.entries(computes)
    .filter(([field, only]) => !isEmpty(config[field]) && !only.some((v) => v === config[field]))
    .map(([field]) => `${field} = ${shown(config[field])}`);
  const problems = odd.length > 0 ? [`it asks for what is not computed here: ${odd.join(', ')}`] : [];
  const refused = refuses?.(config);
  if (refused) problems.push(refused);
  const given: Record<string, unknown> = {};
  for (const [key, { key: field, fromJson, accepts, expected }] of entriesOf(formula.options)) {
    const value = field === null ? undefined : config[field];
    if (value == null) continue;
    try {
      const read = fromJson ? fromJson(value!) : value;
      if (accepts(read)) given[key] = read;
      else problems.push(`${field} must be ${expected}, got ${shown(value)}`);
    } catch (error) {
      problems.push(`${field}: ${(error as Error).message}, got ${shown(value)}`);
    }
  }
  if (problems.length > 0) throw new PeftError('bad-adapter', `${name}: adapter_config.json: ${problems.join('; ')}`);
  return given as O;
};

const make = <O>(def: MethodDef<O>, given: O): Method => {
  checkOptions(def, given);
  const { name, formula, files } = def;
  const { merges, options, prepare, compact } = formula;
  const { peftType, layout, keys, config } = files;
  return {
    name,
    merges,
    ...(layout && { layout }),
    attach: (model, scope) => formula.attach(model, scope, choose(def, given, model)),
    config: (model) => {
      const chosen = choose(def, given, model);
      const fields = entriesOf(options).flatMap(([key, { key: field, toJson }]) =>
        field === null ? [] : [[field, toJson ? toJson(chosen[key], model) : (chosen[key] as JsonValue)] as const],
      );
      return {
        peft_type: peftType,
        ...Object.fromEntries(fields),
        ...config?.(model, chosen),
      };
    },
    ...(keys && { keys }),
    ...(prepare && {
      prepare: async (model, data, executor) =>
        make(def, { ...given, ...(await prepare(model, choose(def, given, model), data, executor)) }),
    }),
    ...(compact && {
      compact: (model, state, executor) => compact(model, choose(def, given, model), state, executor),
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
    options: formula.options,
    reads: (config: AdapterConfig) => isOwn(config) || (also?.reads(config) ?? false),
    fromConfig: (config: AdapterConfig): Method =>
      also?.reads(config) && !isOwn(config) ? also.fromConfig(config) : make(def, optionsFrom(def, config)),
    optionsOf: (config: AdapterConfig, model: Model): Chosen<O> => choose(def, optionsFrom(def, config), model),
  });
  Object.defineProperty(factory, 'name', { value: name });
  return factory as unknown as MethodFactory<O>;
};
