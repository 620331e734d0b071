import type { JsonValue } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { type Model, type Path, select, type Target } from '@peftjs/transformer';

/** One option of a method: its default, what it may be, and how `adapter_config.json` holds it. */
export interface Option<T> {
  /** Its name in `adapter_config.json`; null when it is not saved. */
  readonly key: string | null;
  /** The value when none is given. */
  fallback(model: Model): T;
  /** The condition on a value, in words: "a whole number of at least 1". */
  readonly expected: string;
  accepts(value: unknown): boolean;
  /** As the file holds it; default: as it is. */
  toJson?(value: T, model: Model): JsonValue;
  /** From what the file holds, once that is neither null nor absent; throws `TypeError` where it is not sound. Default: as it is. */
  fromJson?(value: JsonValue): unknown;
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

const isPattern = (source: string): boolean => {
  try {
    return Boolean(new RegExp(source));
  } catch {
    return false;
  }
};

/** Values by a regular expression of the path, or of its end after a dot; each must be what `make` takes: `count`, `number`. */
export const byPattern = (
  key: string | null,
  make: Make<number>,
  expected: string,
): Option<Readonly<Record<string, number>>> => ({
  key,
  fallback: () => ({}),
  expected: `${expected} by regular expressions of paths`,
  accepts: (v) =>
    typeof v === 'object' &&
    v !== null &&
    Object.entries(v).every(([source, n]) => isPattern(source) && make(null, 1).accepts(n)),
});

/** The value of the first entry whose regular expression is `path`, or its end after a dot: Hugging Face PEFT's rule. */
export const patternValue = <T>(pattern: Readonly<Record<string, T>>, path: Path): T | undefined =>
  Object.entries(pattern).find(([source]) => new RegExp(`^(?:.*\\.)?(?:${source})$`).test(path))?.[1];

/** Names stay names; a predicate, a glob or a pattern is saved as what it named in this model. */
const savedTarget = (target: Target, paths: () => readonly Path[]): JsonValue => {
  const names = typeof target === 'string' ? [target] : target;
  return Array.isArray(names) && names.every((n) => n !== 'all-linear' && !n.includes('*')) ? [...names] : paths();
};

/** In a file a string is a pattern over whole paths, except `all-linear`. */
const readTarget = (value: JsonValue): Target => {
  if (value === 'all-linear') return value;
  if (typeof value === 'string' && !isPattern(value)) throw new TypeError('is no regular expression');
  if (typeof value === 'string') return new RegExp(value);
  if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return value;
  throw new TypeError('must be a list of names or a pattern');
};

/** Paths that a target may name: of the linear layers, unless said otherwise. */
export type Candidates = (model: Model) => Iterable<Path>;

const linears: Candidates = (model) => model.linears.keys();

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
  fallback: Target | ((model: Model) => Target),
  candidates: Candidates = linears,
): Option<Target> => ({
  key,
  fallback: (model) => (typeof fallback === 'function' ? (fallback as (model: Model) => Target)(model) : fallback),
  expected: 'a name, a list of names, a pattern or a predicate',
  accepts: (v) =>
    typeof v === 'string' ||
    typeof v === 'function' ||
    v instanceof RegExp ||
    (Array.isArray(v) && v.every((name) => typeof name === 'string')),
  toJson: (target, model) => savedTarget(target, () => select(candidates(model), target, 'target')),
  fromJson: readTarget,
});
