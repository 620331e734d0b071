import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { baseModelDir } from '../src/index.ts';
import { trainBpe } from '../tools/bpe.ts';
import { countWords } from '../tools/byte-level.ts';
import { bySource, countText, pretrainingCorpus } from '../tools/corpus.ts';
import { readTokenizer, tokenStream } from '../tools/token-stream.ts';
import { endOfText, tokenizerConfig, tokenizerJson } from '../tools/tokenizer-files.ts';

const corpus = pretrainingCorpus();
const documents = [...corpus.train, ...corpus.heldOut];
const titlesWith = (pattern: RegExp): string[] =>
  documents.filter(({ text }) => pattern.test(text)).map(({ title }) => title);

describe('pretrainingCorpus', () => {
  it('is the text that the model card describes', () => {
    expect(countText(corpus.train)).toEqual({
      documents: 1543,
      words: 3_166_496,
      bytes: 18_101_724,
    });
    expect(countText(corpus.heldOut)).toEqual({
      documents: 81,
      words: 156_426,
      bytes: 897_009,
    });
    expect([...bySource(documents)].map(([source, group]) => [source, group.length])).toEqual([
      ['State of the Union', 233],
      ['Sense and Sensibility', 50],
      ['Emma', 55],
      ['Persuasion', 24],
      ["The Parent's Assistant", 14],
      ["Alice's Adventures in Wonderland", 12],
      ['The Man Who Was Thursday', 15],
      ['The Ball and the Cross', 20],
      ['The Wisdom of Father Brown', 12],
      ['King James Bible', 1189],
    ]);
  });

  it('holds nothing by Melville and nothing of the licences around the books', () => {
    expect(titlesWith(/Queequeg|Pequod|Starbuck|Moby/)).toEqual([]);
    expect(titlesWith(/Gutenberg|eBook|\uFFFD/)).toEqual([]);
  });

  it('has no text twice, so none is both trained on and held out', () => {
    expect(new Set(documents.map(({ text }) => text)).size).toBe(documents.length);
  });

  it('has a chapter of verses without their numbers', () => {
    const genesis = documents.find(({ title }) => title.endsWith('Genesis 1'));
    expect(genesis?.text).toMatch(
      /^In the beginning God created the heaven and the earth\. And the earth was without form/,
    );
    const verses = documents.filter(({ source }) => source === 'King James Bible');
    expect(verses.filter(({ text }) => /\d/.test(text)).map(({ title }) => title)).toEqual([]);
  });
});

describe('the shipped tokenizer', () => {
  const tokenizer = readTokenizer(baseModelDir());

  it('is what training on the corpus gives, byte for byte', () => {
    const bpe = trainBpe(countWords(corpus.train.map(({ text }) => text)), 4096, [endOfText]);
    const shipped = (name: string): string => readFileSync(join(baseModelDir(), name), 'utf8');
    expect(`${JSON.stringify(tokenizerJson(bpe), null, 1)}\n` === shipped('tokenizer.json')).toBe(true);
    expect(`${JSON.stringify(tokenizerConfig(256), null, 2)}\n`).toBe(shipped('tokenizer_config.json'));
  });

  it('gives back every held-out document', () => {
    const changed = corpus.heldOut.filter(({ text }) => tokenizer.decode(tokenizer.encode(text).ids) !== text);
    expect(changed.map(({ title }) => title)).toEqual([]);
  });

  it('gives back any text, and reads its special token', () => {
    const odd = `${endOfText}\t  café ☃ 日本 🙂\n\n \0'S don't 1,234.5%—\u00a0`;
    const { ids } = tokenizer.encode(odd);
    expect(tokenizer.decode(ids)).toBe(odd);
    expect(ids.filter((id) => id === 0)).toEqual([0]);
    expect(tokenizer.decode(ids, { skip_special_tokens: true })).toBe(odd.slice(endOfText.length));
  });

  it("gives the ids that Hugging Face's tokenizers 0.23.3 for Python gives", () => {
    expect(tokenizer.encode('Call me Ishmael. Some years ago—never mind how long').ids).toEqual([
      35, 345, 401, 744, 72, 1212, 476, 14, 3332, 786, 2151, 539, 764, 322, 1637, 804, 837,
    ]);
    expect(tokenizer.encode(`${endOfText}I'll pay $1,250.75; don't YOU?\n"Très bien—日本"  🙂`).ids).toEqual([
      0, 41, 2074, 1072, 739, 17, 12, 18, 2884, 14, 23, 21, 27, 1969, 981, 963, 47, 53, 31, 199, 2, 52, 82, 128, 102,
      83, 273, 73, 272, 539, 163, 246, 99, 163, 251, 106, 2, 221, 221, 173, 254, 248, 225,
    ]);
  });

  it('makes streams with a separator before each document and after the last', () => {
    const two = ['Ahab', 'The whale'].map((text) => ({
      source: '',
      title: '',
      text,
    }));
    const words = two.map(({ text }) => tokenizer.encode(text).ids);
    expect([...tokenStream(tokenizer, two)]).toEqual([0, ...(words[0] ?? []), 0, ...(words[1] ?? []), 0]);
  });
});
