import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { aligned, inNewFolder, say, wholeWords } from '@peftjs/cli/shared';
import { isPeftError } from '@peftjs/tensor';
import { afterAll, describe, expect, it } from 'vitest';
import { loadJsonlFile } from '../src/data/jsonl-file.ts';
import { loadMobyDick } from '../src/data/moby-dick.ts';
import { loadTextFile } from '../src/data/text-file.ts';

describe('loadMobyDick', () => {
  const { train, heldOut } = loadMobyDick();

  it('has 135 chapters and the epilogue, every tenth held out whole', () => {
    expect(train).toHaveLength(123);
    expect(heldOut.map(({ title }) => /\d+/.exec(title)?.[0])).toEqual(
      Array.from({ length: 13 }, (_, index) => String(10 * (index + 1))),
    );
    expect(train.at(-1)?.title).toBe('Epilogue');
  });

  it('has clean prose', () => {
    expect(train[0]?.title).toBe('CHAPTER 1 Loomings.');
    expect(train[0]?.text).toMatch(/^Call me Ishmael\. Some years ago—never mind how long precisely—having little/);
    const unclean = [...train, ...heldOut].filter(({ text }) => /^CHAPTER \d+$|--|[_*\r“”‘’]| {2}|\n\n/m.test(text));
    expect(unclean.map(({ title }) => title)).toEqual([]);
  });
});

describe('loadTextFile', () => {
  const folder = mkdtempSync(join(tmpdir(), 'peftjs-data-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const need = {
    contextLength: 20,
    countTokens: (text: string) => text.split(/\s+/).length,
  };
  const failure = (path: string): { code: string; message: string } => {
    try {
      loadTextFile(path, need);
    } catch (error) {
      if (isPeftError(error)) return error;
      throw error;
    }
    throw new Error(`loadTextFile accepted ${path}.`);
  };

  it('holds out the last tenth, from the start of a paragraph', () => {
    const paragraphs = Array.from({ length: 100 }, (_, index) => `Paragraph ${index} says little,\nbut says it twice.`);
    const { train, heldOut } = loadTextFile(file('notes.txt', paragraphs.join('\n\n')), need);
    expect(heldOut).toHaveLength(1);
    expect(heldOut[0]?.text).toMatch(/^Paragraph (89|90) says little, but says it twice\.\n/);
    expect(`${train[0]?.text}\n${heldOut[0]?.text}`).toBe(
      paragraphs.join('|').replace(/\n/g, ' ').replaceAll('|', '\n'),
    );
    expect(train[0]?.source).toBe('notes.txt');
  });

  it('cuts one long paragraph at a sentence, and text without sentences at a word', () => {
    const sentences = loadTextFile(file('one.txt', 'He said so. '.repeat(200)), need);
    expect(sentences.heldOut[0]?.text).toMatch(/^He said so\. /);
    const words = loadTextFile(file('words.txt', 'word '.repeat(400)), need);
    expect(words.heldOut[0]?.text).toMatch(/^word /);
    expect(words.train[0]?.text).toMatch(/ word$/);
  });

  it('says which part is too short for one context', () => {
    const { code, message } = failure(file('short.txt', 'word '.repeat(60)));
    expect(code).toBe('bad-data');
    expect(message).toMatch(
      /short\.txt is too short: the held-out part has \d+ tokens, but each part needs at least 21/,
    );
    expect(failure(file('empty.txt', '')).message).toMatch(/the training part has \d tokens?s, the held-out part/);
  });

  it('names a missing file, a folder and a file that is not text', () => {
    expect(failure(join(folder, 'none.txt'))).toMatchObject({
      code: 'file-missing',
      message: /none\.txt/,
    });
    expect(failure(folder).code).toBe('file-missing');
    expect(failure(file('image.png', Uint8Array.of(0x89, 0x50, 0xff, 0xfe)))).toMatchObject({ code: 'bad-data' });
  });
});

describe('loadJsonlFile', () => {
  const folder = mkdtempSync(join(tmpdir(), 'peftjs-jsonl-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (lines: readonly unknown[]): string => {
    const path = join(folder, 'texts.jsonl');
    writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    return path;
  };

  it('takes each line for a document and holds every tenth out', async () => {
    const lines = Array.from({ length: 25 }, (_, i) => ({ text: `Text “${i}”.`, other: i }));
    const { train, heldOut } = await loadJsonlFile(file(lines));
    expect(heldOut.map(({ text }) => text)).toEqual(['Text "9".', 'Text "19".']);
    expect(train).toHaveLength(23);
    expect(train[0]).toEqual({ source: 'texts.jsonl', title: 'document 1', text: 'Text "0".' });
  });

  it('names the line and the fields that it has instead of `text`', async () => {
    const lines = [{ text: 'one' }, { prompt: 'two', completion: 'three' }];
    await expect(loadJsonlFile(file(lines))).rejects.toThrow(/texts\.jsonl.*line 2.*prompt, completion/s);
  });

  it('refuses fewer than ten texts, and what is not JSON', async () => {
    await expect(loadJsonlFile(file([{ text: 'one' }]))).rejects.toThrow('has 1 texts, and needs at least 10');
    writeFileSync(join(folder, 'odd.jsonl'), 'Call me Ishmael.\n');
    await expect(loadJsonlFile(join(folder, 'odd.jsonl'))).rejects.toThrow('is not JSON');
  });
});

describe('inNewFolder', () => {
  const out = mkdtempSync(join(tmpdir(), 'peftjs-out-'));
  afterAll(() => rmSync(out, { recursive: true, force: true }));
  const now = new Date(0);

  it('gives runs of the same second a folder each, and takes that of a failed one away', async () => {
    const dirs = await Promise.all([1, 2, 3].map(() => inNewFolder(out, async (dir) => dir, now)));
    expect(dirs.map((dir) => basename(dir)).sort()).toEqual([
      '1970-01-01T00-00-00',
      '1970-01-01T00-00-00-2',
      '1970-01-01T00-00-00-3',
    ]);
    const failed = inNewFolder(out, () => Promise.reject(new Error('no')), now);
    await expect(failed).rejects.toThrow('no');
    expect(readdirSync(out)).toHaveLength(3);
    const deep = join(out, 'a', 'b');
    await expect(inNewFolder(deep, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(readdirSync(out)).toHaveLength(3);
  });
});

describe('wholeWords', () => {
  it('leaves out the word that was cut off', () => {
    expect(wholeWords('the white wha')).toBe('the white …');
    expect(wholeWords('one')).toBe('one');
  });
});

describe('say', () => {
  const written = (isTTY: boolean, text: string): string => {
    let all = '';
    say({ isTTY, columns: 12, write: (more) => void (all += more) }, text);
    return all;
  };

  it('breaks lines of a terminal between words, and leaves a file as it is', () => {
    const text = 'a whale of some size\n  it was said\n\nno less.\n';
    expect(written(true, text)).toBe('a whale of\nsome size\n  it was\nsaid\n\nno less.\n');
    expect(written(false, text)).toBe(text);
  });

  it('begins no line with the space at which it was broken', () => {
    expect(written(true, 'twelve words and more words, still')).toBe('twelve words\nand more\nwords, still');
  });
});

describe('aligned', () => {
  it('has columns of equal width, and on a narrow terminal those that fit', () => {
    const rows = [
      ['name', 'loss', 'tokens'],
      ['one', '12.5', '8'],
    ];
    expect(aligned(rows)).toBe('name  loss  tokens\none   12.5       8');
    expect(aligned(rows, 17)).toBe('name  loss\none   12.5');
    expect(aligned(rows, 3)).toBe('name\none ');
  });
});
