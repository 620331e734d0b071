import { PeftError } from './error.ts';

/** A rule for one value: whether it is sound, and in words what it must be. */
export interface Rule {
  /** "a whole number of at least 1": what follows "must be". */
  readonly expected: string;
  accepts(value: unknown): boolean;
  /** Whether there is no default. */
  readonly required?: boolean;
}

/** A rule for every option of a function. */
export type Rules<O> = { readonly [K in keyof O]-?: Rule };

const rule = (expected: string, accepts: (value: unknown) => boolean): Rule => ({ expected, accepts });
const isExecutor = (v: unknown): boolean =>
  ['compile', 'read', 'write', 'release'].every((name) => typeof (v as Fields | null)?.[name] === 'function');
const isNumber = (v: unknown): v is number => typeof v === 'number';

type Fields = Readonly<Record<string, unknown>>;

type Shared =
  | 'count'
  | 'whole'
  | 'number'
  | 'positive'
  | 'notNegative'
  | 'bytes'
  | 'rate'
  | 'share'
  | 'flag'
  | 'text'
  | 'fn'
  | 'object'
  | 'executor';

/** Rules that many options share, and how others are made. */
export const mustBe: Readonly<Record<Shared, Rule>> & {
  oneOf(words: readonly string[]): Rule;
  /** A value that passes a test of its own. */
  such(expected: string, accepts: (value: unknown) => boolean): Rule;
  /** The same as another rule, and the option must be given. */
  given(inner: Rule): Rule;
} = {
  /** Ranks, steps, sizes. */
  count: rule('a whole number of at least 1', (v) => Number.isSafeInteger(v) && (v as number) >= 1),
  /** Seeds, numbers of something that may be none. */
  whole: rule('a whole number of at least 0', (v) => Number.isSafeInteger(v) && (v as number) >= 0),
  number: rule('a finite number', Number.isFinite),
  positive: rule('a number above 0', (v) => Number.isFinite(v) && (v as number) > 0),
  notNegative: rule('a number of at least 0', (v) => Number.isFinite(v) && (v as number) >= 0),
  /** Limits of memory. */
  bytes: rule('a number of bytes above 0, or Infinity', (v) => isNumber(v) && v > 0),
  /** Probabilities that leave something, decays of moving averages. */
  rate: rule('in [0, 1)', (v) => isNumber(v) && v >= 0 && v < 1),
  /** A part of a whole. */
  share: rule('in [0, 1]', (v) => isNumber(v) && v >= 0 && v <= 1),
  flag: rule('true or false', (v) => typeof v === 'boolean'),
  text: rule('a text', (v) => typeof v === 'string' && v.length > 0),
  fn: rule('a function', (v) => typeof v === 'function'),
  object: rule('an object', (v) => typeof v === 'object' && v !== null && !Array.isArray(v)),
  /** A device that runs programs. */
  executor: rule('an executor, such as reference(), cpu() or webgpu() gives', isExecutor),
  oneOf: (words) => rule(`one of ${words.join(', ')}`, (v) => words.includes(v as string)),
  such: rule,
  given: (inner) => ({ ...inner, required: true }),
};

/** A value in a message: short, and NaN as such. */
export const shown = (value: unknown): string => {
  if (typeof value === 'function') return 'a function';
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`;
  if (typeof value !== 'string' && (typeof value !== 'object' || value === null)) return String(value);
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // An object that holds itself.
  }
  text ??= Object.prototype.toString.call(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
};

/** The fault of something that is given in the place of options: an executor by itself, no object; null for options. */
export const noOptions = <O extends object>(rules: Rules<O>, options: O): string | null => {
  const given: unknown = options === undefined ? {} : options;
  if ('executor' in rules && isExecutor(given)) return 'the executor is one of the options: { executor }';
  const isRecord = typeof given === 'object' && given !== null && !Array.isArray(given);
  return isRecord ? null : `the options must be an object, got ${shown(given)}`;
};

/** The faults of options, one sentence each: a rule that is broken, a name that there is not, one that is missing. */
export const optionProblems = <O extends object>(rules: Rules<O>, options: O): string[] => {
  const misplaced = noOptions(rules, options);
  if (misplaced !== null) return [misplaced];
  const given: object = options ?? {};
  const known = Object.entries<Rule>(rules);
  const values = given as Fields;
  const wrong = known.flatMap(([name, { accepts, expected, required = false }]) => {
    const value = values[name];
    if (value === undefined) return required ? [`${name} is missing: it must be ${expected}`] : [];
    return accepts(value) ? [] : [`${name} must be ${expected}, got ${shown(value)}`];
  });
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(rules, name));
  const all = known.map(([name]) => name).join(', ');
  return [
    ...wrong,
    ...unknown.map((name) => `there is no option ${name}; ${all ? `there are ${all}` : 'there are none'}`),
  ];
};

/**
 * Checks the options of a function, so that none is taken for another or left out in silence; `together` says what is wrong with
 * options that are sound one by one. Throws `bad-option` with all that is wrong, `who` first.
 */
export const checkOptions = <O extends object>(
  who: string,
  rules: Rules<O>,
  given: O,
  together?: (sound: O) => readonly string[],
): void => {
  const alone = optionProblems(rules, given);
  const problems = alone.length > 0 ? alone : (together?.(given) ?? []);
  if (problems.length > 0) throw new PeftError('bad-option', `${who}: ${problems.join('; ')}`);
};
