import { PeftError } from '@peftjs/tensor';
import { compile } from './pattern/compile.ts';
import { type Dialect, oniguruma, python } from './pattern/dialect.ts';
import { type Parsed, parse } from './pattern/parse.ts';
import { type Places, type Runner, runner } from './pattern/run.ts';
import { quote, reasonOf } from './report.ts';

/** A part of a text that a pattern fits: from `start` up to, not including, `end`. */
export interface PatternMatch {
  readonly start: number;
  readonly end: number;
  /** The text that each group took, `groups[0]` all of it; undefined for a group that took no part, and for one within a look-around. */
  readonly groups: readonly (string | undefined)[];
  /** The same for groups that have a name. */
  readonly named: ReadonlyMap<string, string | undefined>;
}

/** A regular expression out of a file. Matching takes time in proportion to the text, whatever the expression. */
export interface Pattern {
  readonly source: string;
  /** Whether it fits a text as a whole, as Python's `re.fullmatch` tells. */
  fullMatch(text: string): boolean;
  /** The match at the start of a text, as `re.match`. */
  match(text: string): PatternMatch | null;
  /** The first match in a text, as `re.search`. */
  search(text: string): PatternMatch | null;
  /** All that it fits, one after the other, as `re.finditer`: start and end of each. */
  all(text: string): Iterable<readonly [start: number, end: number]>;
}

const build = (source: string, dialect: Dialect, who: string): Pattern => {
  const refuse: (cause: unknown) => never = (cause) => {
    const why =
      cause instanceof RangeError
        ? 'is more than is tried as a regular expression'
        : `is no regular expression that is read here (${dialect.name})`;
    throw new PeftError('bad-option', `${who}: ${quote(source)} ${why}: ${reasonOf(cause)}.`, { cause });
  };
  const tried = <T>(action: () => T): T => {
    try {
      return action();
    } catch (cause) {
      // Patterns break off with these two alone.
      if (cause instanceof SyntaxError || cause instanceof RangeError) return refuse(cause);
      throw cause;
    }
  };
  const { root, groups, names, isOdd }: Parsed = tried(() => parse(source, dialect));
  if (isOdd && dialect === oniguruma) refuse(new SyntaxError('it has a loop whose turns may be empty'));
  const program = tried(() => compile(root, groups));
  const whole = tried(() =>
    compile({ kind: 'cat', items: [root, { kind: 'edge', holds: (text, at) => at === text.length }] }, groups),
  );

  const matchOf = (text: string, places: Places | null): PatternMatch | null => {
    if (!places) return null;
    const taken = Array.from({ length: groups + 1 }, (_, i) =>
      places[2 * i]! < 0 ? undefined : text.slice(places[2 * i]!, places[2 * i + 1]!),
    );
    const named = new Map([...names].map(([name, index]) => [name, taken[index]]));
    return { start: places[0]!, end: places[1]!, groups: taken, named };
  };
  const firstFrom = (run: Runner, text: string, from: number): Places | null => {
    for (let start = from; start <= text.length; start++) {
      // Characters beyond 16 bits are two units: none begins at the second.
      if (start > 0 && isSecondHalf(text, start)) continue;
      const places = run.at(start);
      if (places) return places;
    }
    return null;
  };

  return {
    source,
    fullMatch: (text) => tried(() => runner(whole, text).at(0)) !== null,
    match: (text) =>
      matchOf(
        text,
        tried(() => runner(program, text).at(0)),
      ),
    search: (text) =>
      matchOf(
        text,
        tried(() => firstFrom(runner(program, text), text, 0)),
      ),
    *all(text) {
      const run = tried(() => runner(program, text));
      let from = 0;
      for (;;) {
        const places = tried(() => firstFrom(run, text, from));
        if (!places) return;
        const [start, end] = places as [number, number];
        yield [start, end];
        from = end > start ? end : end + 1;
      }
    },
  };
};

const isSecondHalf = (text: string, at: number): boolean =>
  (text.charCodeAt(at) & 0xfc00) === 0xdc00 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800;

/**
 * A regular expression as Python's `re` reads it: targets, patterns of ranks and layers in files of Hugging Face PEFT. Python's
 * meaning is kept to the letter: `\d` and `\w` are those of Unicode, `$` also stands before a last newline. References to groups,
 * conditions on groups and `\N{…}` are refused.
 *
 * Throws `PeftError` `bad-option`, with the place, for what is no such expression, for what is refused, and when it is used on a
 * text that is too long for it.
 */
export const pythonPattern = (source: string, who = 'pattern'): Pattern => build(source, python, who);

/**
 * A regular expression as Oniguruma reads it with the syntax of Ruby: those of Hugging Face tokenizers. A loop whose body may be
 * empty is refused too. Throws as `pythonPattern` does.
 */
export const onigurumaPattern = (source: string, who = 'pattern'): Pattern => build(source, oniguruma, who);
