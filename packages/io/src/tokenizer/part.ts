import { PeftError } from '@peftjs/tensor';
import { isObject } from '../json.ts';
import { onigurumaPattern } from '../pattern.ts';
import { quote, reasonOf } from '../report.ts';

/** A part of a `tokenizer.json`, such as its normalizer, with what it says. */
export interface Part {
  readonly type: string;
  readonly who: string;
  /** A field that must be a text, where it is not left out. */
  text(field: string, fallback?: string): string;
  flag(field: string, fallback: boolean): boolean;
  /** A whole number from 0 to a thousand. */
  count(field: string, fallback?: number): number;
  /** The parts of a sequence. */
  parts(field: string): readonly Part[];
  /** The value of a field `pattern`: a text, or a regular expression. */
  finder(): Find;
  raw(field: string): unknown;
  fail(problem: string): never;
}

/** All places in a text where something is, in order. */
export type Find = (text: string) => Iterable<readonly [start: number, end: number]>;

const most = 1000;
const deepest = 32;

/** A part that was read; undefined where the file has none. Throws `PeftError` `bad-tokenizer`, then and when a field is asked for. */
export const partOf = (json: unknown, who: string, depth = 0): Part | undefined => {
  if (json == null) return undefined;
  const fail = (problem: string): never => {
    throw new PeftError('bad-tokenizer', `${who}: ${problem}. Correct it, or use another tokenizer.`);
  };
  if (!isObject(json) || typeof json['type'] !== 'string') return fail('is no object with a type');
  if (depth > deepest) return fail(`is nested more than ${deepest} deep`);
  const { type } = json;
  const field = <T>(name: string, kind: string, fallback: T | undefined, is: (value: unknown) => value is T): T => {
    const value = json[name] ?? fallback;
    return is(value) ? value : fail(`${type}: ${name} is not ${kind}`);
  };
  const isText = (v: unknown): v is string => typeof v === 'string';
  const isFlag = (v: unknown): v is boolean => typeof v === 'boolean';
  const isCount = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 0 && (v as number) <= most;
  return {
    type,
    who,
    text: (name, fallback) => field(name, 'a text', fallback, isText),
    flag: (name, fallback) => field(name, 'true or false', fallback, isFlag),
    count: (name, fallback) => field(name, `a whole number up to ${most}`, fallback, isCount),
    parts: (name) => {
      const list = json[name];
      if (!Array.isArray(list)) return fail(`${type}: ${name} is not a list`);
      return list.flatMap((item, i) => partOf(item, `${who}.${name}[${i}]`, depth + 1) ?? []);
    },
    finder: () => finderOf(json['pattern'], who, fail),
    raw: (name) => json[name],
    fail: (problem) => fail(`${type}: ${problem}`),
  };
};

const finderOf = (pattern: unknown, who: string, fail: (problem: string) => never): Find => {
  if (isObject(pattern) && typeof pattern['String'] === 'string') return literally(pattern['String']);
  if (!isObject(pattern) || typeof pattern['Regex'] !== 'string')
    return fail('pattern is neither a String nor a Regex');
  const source = pattern['Regex'];
  const tried = <T>(action: () => T): T => {
    try {
      return action();
    } catch (cause) {
      throw new PeftError('bad-tokenizer', `${reasonOf(cause)} Use another tokenizer.`, { cause });
    }
  };
  const found = tried(() => onigurumaPattern(source, `${who}.pattern`));
  return function* (text) {
    let last = -1;
    const all = found.all(text)[Symbol.iterator]();
    for (;;) {
      const next = tried(() => all.next());
      if (next.done) return;
      const [start, end] = next.value;
      // Oniguruma finds nothing empty at the end of what it found before.
      if (start < end || start !== last) yield next.value;
      last = end;
    }
  };
};

const literally = (wanted: string): Find =>
  function* (text) {
    for (let at = 0; wanted !== '' && (at = text.indexOf(wanted, at)) >= 0; at += wanted.length)
      yield [at, at + wanted.length];
  };

/** A text with all that is found replaced by another text, which is taken as it is. */
export const replaced = (text: string, find: Find, by: string): string => {
  let [out, at] = ['', 0];
  for (const [start, end] of find(text)) {
    out += text.slice(at, start) + by;
    at = end;
  }
  return at === 0 && out === '' ? text : out + text.slice(at);
};

/** The error of an unknown type. */
export const unknownType = (part: Part, known: Readonly<Record<string, unknown>>): never =>
  part.fail(`is not read; the types that are: ${Object.keys(known).join(', ')} (got ${quote(part.type)})`);
