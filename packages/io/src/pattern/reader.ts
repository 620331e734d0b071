import { codePointAt } from './char-set.ts';
import type { Dialect, Flags } from './dialect.ts';

/** A place in the text of a pattern, and what is switched on there. */
export interface Reader {
  readonly dialect: Dialect;
  flags: Flags;
  isDone(): boolean;
  /** The character that comes, empty at the end. */
  peek(): string;
  /** Its code point; it is read. */
  next(): number;
  /** Reads a text if it comes. */
  takes(text: string): boolean;
  /** Reads what fits an expression with the flag `y`. */
  take(pattern: RegExp): string | undefined;
  /** Whether `-` comes, and is not the last of its class. */
  isRange(): boolean;
  /** The character that is spelt behind a backslash. */
  character(inClass: boolean): number;
  /** Runs an action one level deeper. */
  nest<T>(action: () => T): T;
  /** Throws `SyntaxError` with the place. */
  fail(problem: string): never;
}

const deepest = 100;

const spelt: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 };
const hexForms: Readonly<Record<string, RegExp>> = {
  x: /[0-9A-Fa-f]{2}/y,
  u: /[0-9A-Fa-f]{4}/y,
  U: /[0-9A-Fa-f]{8}/y,
};

/** A reader at the start of a pattern. */
export const reader = (source: string, dialect: Dialect): Reader => {
  let at = 0;
  let depth = 0;
  const self: Reader = {
    dialect,
    flags: new Set(),
    isDone: () => at >= source.length,
    peek: () => (at < source.length ? String.fromCodePoint(codePointAt(source, at)) : ''),
    next: () => {
      if (at >= source.length) self.fail('it ends too early');
      const c = codePointAt(source, at);
      at += c > 0xffff ? 2 : 1;
      return c;
    },
    takes: (text) => {
      const comes = source.startsWith(text, at);
      if (comes) at += text.length;
      return comes;
    },
    take: (pattern) => {
      pattern.lastIndex = at;
      const found = pattern.exec(source)?.[0];
      at += found?.length ?? 0;
      return found;
    },
    isRange: () => source[at] === '-' && at + 1 < source.length && source[at + 1] !== ']',
    character: (inClass) => {
      const letter = self.peek();
      const form = hexForms[letter];
      if (form && !(letter === 'U' && dialect.name === 'Oniguruma')) {
        self.next();
        const braced = dialect.nested ? self.take(/\{[0-9A-Fa-f]{1,8}\}/y)?.slice(1, -1) : undefined;
        const digits = braced ?? self.take(form) ?? self.fail(`\\${letter} needs hexadecimal digits`);
        const c = Number.parseInt(digits, 16);
        return c <= 0x10ffff ? c : self.fail(`there is no character ${digits}`);
      }
      const octal = self.take(inClass ? /[0-7]{1,3}/y : /0[0-7]{0,2}|[0-7]{3}/y);
      if (octal !== undefined) {
        const c = Number.parseInt(octal, 8);
        return c <= 0xff ? c : self.fail(`\\${octal} is above \\377`);
      }
      if (spelt[letter] !== undefined) return self.next() && spelt[letter]!;
      if (letter === 'e' && dialect.name === 'Oniguruma') return self.next() && 0x1b;
      if (/[1-9]/.test(letter)) self.fail('references to groups are not supported, as no bound on their time is known');
      if (/[A-Za-z]/.test(letter)) self.fail(`\\${letter} is not supported`);
      return self.next();
    },
    nest: (action) => {
      if (++depth > deepest) self.fail(`it is nested more than ${deepest} deep`);
      const result = action();
      depth--;
      return result;
    },
    fail: (problem) => {
      throw new SyntaxError(`${problem} (at character ${at + 1})`);
    },
  };
  return self;
};
