import { describe, expect, it } from 'vitest';
import { trainBpe } from '../tools/bpe.ts';
import { byteCharacters, countWords } from '../tools/byte-level.ts';

const counts = new Map([
  ['low', 5],
  ['lower', 2],
  ['newest', 6],
  ['widest', 3],
]);

describe('trainBpe', () => {
  it('merges the most frequent pair first, of equal ones the lowest ids', () => {
    const { tokens, merges } = trainBpe(counts, 1 + 256 + 8, ['<end>']);
    // es 9 = st 9, then es+t 9; lo 7 = ow 7, lo+w 7; ew 6 = ne 6 = w+est 6, n+ew 6, new+est 6; d+est 3 = id 3 = wi 3.
    expect(tokens.slice(257)).toEqual(['es', 'est', 'lo', 'low', 'ew', 'new', 'newest', 'dest']);
    expect(merges.slice(0, 3)).toEqual([
      ['e', 's'],
      ['es', 't'],
      ['l', 'o'],
    ]);
    expect(tokens[0]).toBe('<end>');
    expect(tokens.slice(1, 257)).toEqual([...byteCharacters].sort());
  });

  it('does not depend on the order of the words', () => {
    const reversed = new Map([...counts].reverse());
    expect(trainBpe(reversed, 265, [])).toEqual(trainBpe(counts, 265, []));
  });

  it('stops when no pair occurs twice', () => {
    expect(
      trainBpe(
        new Map([
          ['abc', 1],
          ['abd', 1],
        ]),
        1000,
        [],
      ).merges,
    ).toEqual([['a', 'b']]);
  });

  it('counts and merges overlapping pairs from the left', () => {
    // aaaaa has four pairs aa, then (aa)(aa)a has one pair of each kind.
    const { merges } = trainBpe(new Map([['aaaaa', 2]]), 1000, []);
    expect(merges).toEqual([
      ['a', 'a'],
      ['aa', 'a'],
      ['aa', 'aaa'],
    ]);
  });

  it('gives no second id to a token that is there already', () => {
    const { tokens, merges } = trainBpe(new Map([['abc', 3]]), 1000, ['ab']);
    expect(merges).toEqual([
      ['a', 'b'],
      ['ab', 'c'],
    ]);
    expect(tokens).toHaveLength(1 + 256 + 1);
  });

  it('refuses a vocabulary without room for the bytes, and words that are not bytes', () => {
    expect(() => trainBpe(counts, 256, ['<end>'])).toThrow(/expected at least 257/);
    expect(() => trainBpe(new Map([['a b', 2]]), 300, [])).toThrow(/stands for no byte/);
  });
});

describe('countWords', () => {
  it('splits as GPT-2 does and writes bytes as characters', () => {
    expect([...countWords(["I'll go, I'll  go\n\n12x é"])]).toEqual([
      ['I', 1],
      ["'ll", 2],
      ['Ġgo', 2],
      [',', 1],
      ['ĠI', 1],
      ['Ġ', 1],
      ['Ċ', 2],
      ['12', 1],
      ['x', 1],
      ['ĠÃ©', 1],
    ]);
  });

  it('has a character of its own for each byte', () => {
    expect(new Set(byteCharacters).size).toBe(256);
    expect(byteCharacters[0x20]).toBe('Ġ');
    expect(byteCharacters[0x41]).toBe('A');
  });
});
