import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isPeftError } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { python } from '../src/pattern/dialect.ts';
import { parse } from '../src/pattern/parse.ts';
import { onigurumaPattern, type Pattern, pythonPattern } from '../src/pattern.ts';
import { processorTime } from './processor-time.ts';

type Case = readonly [source: string, text: string, python: null | readonly [whole: boolean, span: null | number[]]];

const golden: readonly Case[] = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../tools/golden/data/io/patterns.json'), 'utf8'),
);

/** Undefined where the pattern is refused with our error. */
const tried = (source: string): Pattern | undefined => {
  try {
    return pythonPattern(source);
  } catch (error) {
    if (!isPeftError(error)) throw error;
    return undefined;
  }
};

test('patterns fit what they fit in Python, as a whole and first, or are refused', () => {
  const refused = new Set<string>();
  const wrong: unknown[] = [];
  for (const [source, text, want] of golden) {
    const pattern = tried(source);
    if (!pattern) {
      if (want) refused.add(source);
      continue;
    }
    const found = pattern.search(text);
    const got = [pattern.fullMatch(text), found && [found.start, found.end]] as const;
    // Where a loop's turns may be empty, only whether something fits is the same in all libraries.
    const isSame =
      want !== null &&
      got[0] === want[0] &&
      (parse(source, python).isOdd ? !got[1] === !want[1] : String(got[1]) === String(want[1]));
    if (!isSame) wrong.push({ source, text, want, got });
  }
  expect(wrong).toEqual([]);
  expect(refused.size).toBeLessThan(golden.length / 30);
});

const refused: [string, string | undefined][] = [
  ['(a|b)\\1', 'references to groups'],
  ['(?P<a>l)(?P=a)', '(?P is not supported'],
  ['(a)?(?(1)b)', '(?( is not supported'],
  ['\\N{DASH}', '\\N is not supported'],
  ['a(?i)', 'at its start'],
  ['(?L)a', 'the flag L'],
  ['(?<=a+)b', 'fixed width'],
  ['(?>(a|)*)', 'turns may be empty'],
  ['(x{9999}){9999}', 'more than 20000 steps'],
  ['(?:(?:){999999999}){999999999}x', undefined],
  ['('.repeat(200), 'nested more than 100 deep'],
  ['a'.repeat(100_001), 'at most 100000'],
];

test.each(refused.map(([source, why]) => [source.slice(0, 30), source, why] as const))(
  '%s is refused and says why',
  async (_, source, why) => {
    if (why === undefined) return expect(pythonPattern(source).fullMatch('x')).toBe(true);
    const message = await messageOf('bad-option', () => pythonPattern(source, 'target_modules'));
    expect(message).toContain(why);
    expect(message).toMatch(/^target_modules: ".*(?:Python|more than is tried)/);
    expect(message.length).toBeLessThan(400);
  },
);

describe('time grows with the text, whatever the pattern', () => {
  const long = 'a'.repeat(4_000);
  test.each([
    ['((.*)*)*x', long, false],
    ['.*'.repeat(60), long, true],
    [`${'.*'.repeat(60)}x`, 'a'.repeat(300), false],
    ['(a+)+$', `${long}b`, false],
    ['(a|aa)+$', `${long}b`, false],
    ['(a|a|a)*b', long, false],
    ['(?>a+)b', long, false],
    ['(?=a*b)a', long, false],
    ['(?=(?>a+)+b)x', long, false],
    ['(?:a?){200}a{200}b', 'a'.repeat(300), false],
    ['(((((((a*)*)*)*)*)*)*)*b', long, false],
    ['((a?){9}b?){9}c', 'a'.repeat(300), false],
    ['(\\b|a)*b', long, false],
    ['(x+x+)+y', 'x'.repeat(4_000), false],
    ['(.*\\.)?((.+)+)$', long, true],
  ])('%s', (source, text, whole) => {
    const start = processorTime();
    const pattern = pythonPattern(source);
    expect(pattern.fullMatch(text)).toBe(whole);
    pattern.search(text);
    expect([...pattern.all(text)].length).toBeLessThanOrEqual(text.length + 1);
    expect(processorTime() - start).toBeLessThan(2000);
  });

  test('what was found out for one match serves the next', () => {
    const start = processorTime();
    expect([...onigurumaPattern('a*b|a').all(long)].length).toBe(long.length);
    expect(processorTime() - start).toBeLessThan(2000);
  });

  test('a text too long for a pattern is refused, not matched without bounds', async () => {
    const start = processorTime();
    const many = pythonPattern(`(?:${'a?b?c?'.repeat(300)})*x`);
    expect(await messageOf('bad-option', () => many.fullMatch('a'.repeat(1_000_000)))).toContain('too long');
    expect(await messageOf('bad-option', () => many.fullMatch('a'.repeat(6_000)))).toContain('too many steps');
    expect(processorTime() - start).toBeLessThan(2000);
  });
});

test('a match tells its groups', () => {
  const found = pythonPattern('(?:^|.*?\\.)(layers|h)\\.(?P<idx>\\d+)\\.(x)?').match('model.layers.12.experts.3.up');
  expect(found).toEqual({
    start: 0,
    end: 16,
    groups: ['model.layers.12.', 'layers', '12', undefined],
    named: new Map([['idx', '12']]),
  });
  expect(pythonPattern('b').match('ab')).toBeNull();
  expect(pythonPattern('b').search('a😀b')).toMatchObject({ start: 3, end: 4 });
  expect([...pythonPattern('|b').all('a😀b')]).toEqual([
    [0, 0],
    [1, 1],
    [3, 3],
    [4, 4],
  ]);
});

test('patterns that JavaScript reads alike fit alike', () => {
  const leaf = fc.constantFrom(
    'a',
    'b',
    '.',
    '[ab]',
    '[^a]',
    '\\d',
    '(?:ab)',
    '(?=a)',
    '(?!b)',
    '(?<=a)',
    '(?<!b)',
    '\\b',
  );
  const { tree } = fc.letrec<{ tree: string }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      leaf,
      fc.tuple(tie('tree'), tie('tree')).map(([a, b]) => a + b),
      fc.tuple(tie('tree'), tie('tree')).map(([a, b]) => `(?:${a}|${b})`),
      fc.tuple(tie('tree'), fc.constantFrom('?', '{0,2}', '{2}', '??')).map(([a, q]) => `(?:${a})${q}`),
      fc
        .tuple(fc.constantFrom('a', '[ab]', 'ab', 'a|b', 'a|ab', '.b?'), fc.constantFrom('*', '+', '*?', '+?'))
        .map(([a, q]) => `(?:${a})${q}`),
    ),
  }));
  fc.assert(
    fc.property(tree, fc.stringMatching(/^[ab1 ]{0,12}$/), (source, text) => {
      const [own, native] = [pythonPattern(source), new RegExp(source)];
      // Not where: after an empty turn JavaScript looks for another way, Python does not.
      expect(own.search(text) !== null).toBe(native.test(text));
      expect(own.fullMatch(text)).toBe(new RegExp(`^(?:${source})$`).test(text));
    }),
    { numRuns: 2_000, seed: 5 },
  );
});
