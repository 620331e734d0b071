import { describe, expect, it } from 'vitest';
import { holdOut, normalizeText, plainProse, splitSections } from '../src/index.ts';

describe('normalizeText', () => {
  it('puts each paragraph on one line', () => {
    expect(normalizeText('\ufeffOne\r\ntwo.\r\n\r\n \r\nThree\n')).toBe('One two.\nThree');
  });

  it('keeps verse and indented paragraphs apart', () => {
    expect(normalizeText('He sang:\n\n  A whale,\n    a whale!\nhe cried')).toBe(
      'He sang:\nA whale,\na whale! he cried',
    );
  });

  it('takes the lines of a text that is not hard-wrapped as paragraphs', () => {
    const long = 'word '.repeat(30).trim();
    expect(normalizeText(`${long}\nNo.\nYes.`)).toBe(`${long}\nNo.\nYes.`);
  });

  it('writes quotes, dashes, spaces and ellipses in one way', () => {
    expect(normalizeText('“It’s—‘so’ – or -- no---1914–18…”  a\u00a0self‑made\u00ad man\u0002')).toBe(
      "\"It's—'so'—or—no—1914-18...\" a self-made man",
    );
  });

  it('does what the README shows', () => {
    expect(normalizeText('Call me\nIshmael -- “so”')).toBe('Call me Ishmael—"so"');
  });

  it('composes characters', () => {
    expect(normalizeText('cafe\u0301')).toBe('café');
  });
});

describe('plainProse', () => {
  it('takes out what transcribers added', () => {
    const added = '*A footnote\nof two lines.\n\n   *    *    *\n\n[Illustration: a whale]';
    const text = `It was _true_.*\n\n${added}\n\nA ferry-\nboat, a favour-\n-such a one.\n\nTHE END\n`;
    expect(plainProse(text)).toBe('It was true.\nA ferry-boat, a favour—such a one.');
  });
});

describe('splitSections', () => {
  it('splits at headings and drops what stands before the first', () => {
    expect(splitSections('Title\nI.  ONE\na\nb\nII. TWO\nc\n', /^[IVX]+\. .+$/m)).toEqual([
      { heading: 'I. ONE', text: '\na\nb\n' },
      { heading: 'II. TWO', text: '\nc\n' },
    ]);
  });

  it('says so when no heading matches', () => {
    expect(() => splitSections('Some text', /^CHAPTER/m)).toThrow(/\^CHAPTER.*matches no heading.*Some text/);
  });
});

describe('holdOut', () => {
  const documents = Array.from({ length: 7 }, (_, index) => ({
    source: 's',
    title: String(index + 1),
    text: '',
  }));

  it('keeps every n-th document apart, in order', () => {
    const { train, heldOut } = holdOut(documents, 3);
    expect(heldOut.map(({ title }) => title)).toEqual(['3', '6']);
    expect(train.map(({ title }) => title)).toEqual(['1', '2', '4', '5', '7']);
  });

  it('refuses to hold out everything', () => {
    expect(() => holdOut(documents, 1)).toThrow(/got every = 1/);
    expect(() => holdOut(documents, 2.5)).toThrow(RangeError);
  });
});
