import fc from 'fast-check';
import { expect, test } from 'vitest';
import { loadTokenizer, memoryFiles, type Tokenizer } from '../src/index.ts';

/** A vocabulary as SentencePiece makes it for Llama: letters, spaces, bytes, and merges by rank. */
const letters = ['▁', 'a', 'b', 'c'];
const merged = ['▁▁', '▁a', 'ab', 'bc', '▁ab', 'cc', '▁▁▁▁', 'ccc', 'abc', '▁abc', 'ba', '▁▁a'];
const merges = ['▁ ▁', '▁ a', 'a b', 'b c', '▁ ab', 'c c', '▁▁ ▁▁', 'cc c', 'ab c', '▁ abc', 'b a', '▁▁ a'];

const tokenizerOf = (more: readonly string[]): Promise<Tokenizer> => {
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
  const tokens = ['<unk>', ...bytes, ...letters, ...merged, ...more];
  const model = {
    type: 'BPE',
    vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    merges,
    unk_token: '<unk>',
    fuse_unk: true,
    byte_fallback: true,
  };
  const normalizer = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const json = { model, normalizer, pre_tokenizer: null, post_processor: null, decoder: null, added_tokens: [] };
  return loadTokenizer(memoryFiles(new Map([['tokenizer.json', JSON.stringify(json)]])));
};

test('words merged one by one give what the whole text gives', async () => {
  // A token that no merge makes, with a space behind a letter: with it texts are merged as wholes.
  const [byWords, whole] = [await tokenizerOf([]), await tokenizerOf(['a▁b'])];
  const texts = fc.string({ unit: fc.constantFrom(' ', 'a', 'b', 'c', 'ü', '\n', '🐋'), maxLength: 40 });
  fc.assert(
    fc.property(texts, (text) => {
      expect([...byWords.encode(text)]).toEqual([...whole.encode(text)]);
    }),
    { numRuns: 500 },
  );
  expect(byWords.decode(byWords.encode('abc  abc'))).toContain('abc');
  // What is kept of one text does not change another.
  expect([...byWords.encode('abc abc')]).toEqual([...whole.encode('abc abc')]);
});
