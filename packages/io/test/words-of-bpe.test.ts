import { Tokenizer as Library } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { loadTokenizer, memoryFiles, type Tokenizer } from '../src/index.ts';
import { mergePairs } from '../src/tokenizer/merge-pairs.ts';

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

test('merges are those of the library, whatever their ranks', () => {
  // Tokens are made of earlier ones, so merges of a drawn order reach into one another.
  const vocabularies = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 40 }).map((drawn) => {
    const [tokens, pairs]: [string[], [string, string][]] = [['a', 'b', 'c', '🐋'], []];
    for (const [left, right] of drawn) {
      const pair: [string, string] = [tokens[left % tokens.length]!, tokens[right % tokens.length]!];
      if (pair.join('').length < 12) pairs.push(pair);
      if (!tokens.includes(pair.join(''))) tokens.push(pair.join(''));
    }
    return { tokens, pairs };
  });
  const pieces = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '🐋'), maxLength: 200 });
  fc.assert(
    fc.property(vocabularies, fc.array(pieces, { maxLength: 5 }), ({ tokens, pairs }, texts) => {
      const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
      const parts = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
      const model = new Library({ ...parts, model: { type: 'BPE', vocab, merges: pairs } }, {}).model!;
      const merged = mergePairs(new Map(Object.entries(vocab)), pairs);
      for (const text of texts) expect(merged(text)).toEqual(model([text]).map((token) => vocab[token]));
      expect(merged('abd')).toBeNull();
    }),
    { numRuns: 300 },
  );
});
