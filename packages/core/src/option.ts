import { isObject, type JsonValue, pythonPattern } from '@peftjs/io';
import { isPeftError, PeftError } from '@peftjs/tensor';
import type { Model, Path, Target } from '@peftjs/transformer';
import { isPatternTarget, isRoleTarget, type LayerTarget, layersOf } from './layer-target.ts';
import type { LayersInView } from './layers-in-view.ts';
import type { AdapterConfig } from './method.ts';
import { savedByPath, valuesByPath } from './pattern-value.ts';

/** One option of a method: its default, what it may be, and how `adapter_config.json` holds it. */
export interface Option<T> {
  /** Its name in `adapter_config.json`, `outer.inner` for one inside an object; null when it is not saved. */
  readonly key: string | null;
  /** The value when none is given. */
  fallback(model: Model): T;
  /** The condition on a value, in words: "a whole number of at least 1". */
  readonly expected: string;
  accepts(value: unknown): boolean;
  /** As the file holds it, for the layers that the method changes; undefined to leave the field out. Default: as it is. */
  toJson?(value: T, layers: LayersInView): JsonValue | undefined;
  /**
   * From what the file holds, once that is neither null nor absent, and the rest of the configuration; throws `TypeError` where it is not
   * sound. Default: as it is.
   */
  fromJson?(value: JsonValue, config: AdapterConfig): unknown;
  /** The value that `attach` is given, for the layers that the method changes: patterns as values by path. Default: as it is. */
  resolve?(value: T, layers: LayersInView): T;
  /** Of values by path: the option whose value they take the place of. */
  readonly of?: string;
  /** Of a target: the paths that it may name. */
  readonly candidates?: Candidates;
}

/** The options of a method, by name. */
export type OptionTable<O> = { readonly [K in keyof O]-?: Option<Exclude<O[K], undefined>> };

const option =
  <T>(expected: string, accepts: (value: unknown) => boolean) =>
  (key: string | null, fallback: T): Option<T> => ({ key, fallback: () => fallback, expected, accepts });

type Make<T> = (key: string | null, fallback: T) => Option<T>;

/** A whole number of at least 1: ranks, numbers of tokens. */
export const count: Make<number> = option(
  'a whole number of at least 1',
  (v) => Number.isSafeInteger(v) && (v as number) >= 1,
);

/** A whole number of at least 0: seeds, steps. */
export const wholeNumber: Make<number> = option(
  'a whole number of at least 0',
  (v) => Number.isSafeInteger(v) && (v as number) >= 0,
);

/** A finite number. */
export const number: Make<number> = option('a finite number', Number.isFinite);

/** A number above 0. */
export const positive: Make<number> = option('a number above 0', (v) => Number.isFinite(v) && (v as number) > 0);

/** A probability that leaves something: [0, 1). */
export const rate: Make<number> = option('in [0, 1)', (v) => typeof v === 'number' && v >= 0 && v < 1);

/** True or false. */
export const flag: Make<boolean> = option('true or false', (v) => typeof v === 'boolean');

/** One of some words. */
export const oneOf = <T extends string>(key: string | null, words: readonly T[], fallback: T): Option<T> =>
  option<T>(`one of ${words.join(', ')}`, (v) => words.includes(v as T))(key, fallback);

/** Whether Python's `re` would take a text as an expression, and it means the same here. */
export const isPattern = (source: string): boolean => {
  try {
    pythonPattern(source);
    return true;
  } catch (error) {
    if (isPeftError(error)) return false;
    throw error;
  }
};

/** The paths that values by pattern may be of: those of the layers that a method changes, and of experts, which it may name as parameters. */
const withExperts = ({ paths, model }: LayersInView): readonly Path[] => [...paths(), ...model.experts.keys()];

/**
 * Values of the option `of` by a regular expression (Python's) of the path, or of its end after a dot; the first that fits counts, and each
 * must fit a layer. Each value must be what `make` takes: `count`, `number`. A method is given the values by full path, and they are saved
 * so. A method that has such an option must change each layer as if there were no other: `combine` makes one of several by them.
 */
export const byPattern = (
  key: string | null,
  make: Make<number>,
  expected: string,
  of: string,
): Option<Readonly<Record<string, number>>> => ({
  key,
  of,
  fallback: () => ({}),
  expected: `${expected} by regular expressions of paths`,
  accepts: (v) =>
    isObject(v) && Object.entries(v).every(([source, n]) => isPattern(source) && make(null, 1).accepts(n)),
  resolve: (pattern, layers) => valuesByPath(pattern, withExperts(layers), layers),
  toJson: (pattern, layers) => {
    if (Object.keys(pattern).length === 0) return {};
    const paths = withExperts(layers);
    return savedByPath(valuesByPath(pattern, paths, layers), paths);
  },
});

/** The value of a path, of those that an option of `byPattern` gives to a method. */
export const patternValue = <T>(values: Readonly<Record<Path, T>>, path: Path): T | undefined =>
  Object.hasOwn(values, path) ? values[path] : undefined;

/** Names stay names, a pattern of a file stays that pattern; roles, a predicate or a glob are saved as what they named in this model. */
const savedTarget = (target: LayerTarget, layers: LayersInView, paths: () => readonly Path[]): JsonValue => {
  if (layers.narrowed) return [...paths()];
  if (isPatternTarget(target)) return target.pattern;
  const names = typeof target === 'string' ? [target] : target;
  return Array.isArray(names) && names.every((n) => n !== 'all-linear' && !n.includes('*')) ? [...names] : [...paths()];
};

/** A target out of a file: a text is a pattern over whole paths, except `all-linear`. */
export const readTarget = (value: JsonValue): LayerTarget => {
  if (typeof value === 'string' && value.toLowerCase() === 'all-linear') return 'all-linear';
  if (typeof value === 'string' && !isPattern(value)) throw new TypeError('is no regular expression');
  if (typeof value === 'string') return { pattern: value };
  if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return value;
  throw new TypeError('must be a list of names or a pattern');
};

/** The forms of a target, for messages. */
export const targetExpected: string = 'a name, a list of names, a pattern, roles or a predicate';

const isTarget = (v: unknown): boolean => {
  if (typeof v === 'string' || typeof v === 'function' || v instanceof RegExp) return true;
  if (Array.isArray(v)) return v.every((name) => typeof name === 'string');
  if (!isObject(v)) return false;
  const target = v as unknown as LayerTarget;
  if (isRoleTarget(target)) return Array.isArray(target.roles) && target.roles.every((r) => typeof r === 'string');
  return isPatternTarget(target) && typeof target.pattern === 'string' && isPattern(target.pattern);
};

/** Paths that a target may name: of the linear layers, unless said otherwise. */
export type Candidates = (model: Model) => Iterable<Path>;

const linears: Candidates = (model) => model.linears.keys();

/** Linear layers and embeddings. */
export const withEmbeddings: Candidates = (model) => [...model.linears.keys(), ...model.embeddings.keys()];

/** A default target that the model's family knows, by the name of Hugging Face PEFT's table. Throws `bad-option` where there is none. */
export const familyTarget =
  (table: string): ((model: Model) => Target) =>
  ({ layout }) => {
    const found = layout.defaultTarget(table);
    if (found) return found;
    throw new PeftError('bad-option', `target: there is no default for ${layout.modelType}; say which layers`);
  };

/** Which parts of a model a method changes; the default is a target, or made of the model: `familyTarget('lora')`. */
export const targets = (
  key: string | null,
  fallback: LayerTarget | ((model: Model) => LayerTarget),
  candidates: Candidates = linears,
): Option<Target> => {
  const own = {
    key,
    fallback: (model: Model) =>
      typeof fallback === 'function' ? (fallback as (model: Model) => LayerTarget)(model) : fallback,
    expected: targetExpected,
    accepts: isTarget,
    toJson: (target: LayerTarget, layers: LayersInView) =>
      savedTarget(target, layers, () =>
        key === 'target_modules' ? layers.paths() : layersOf(layers.model, target, candidates(layers.model), layers),
      ),
    resolve: (target: LayerTarget, layers: LayersInView): LayerTarget => {
      if (key === 'target_modules') return layers.paths();
      const isOdd = isPatternTarget(target) || isRoleTarget(target);
      return isOdd ? layersOf(layers.model, target, candidates(layers.model), layers) : target;
    },
    fromJson: readTarget,
    candidates,
  };
  // A method is given paths; what else may stand for them `defineMethod` takes for it.
  return own as unknown as Option<Target>;
};
