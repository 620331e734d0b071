import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isPeftError } from '@peftjs/tensor';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { buildTokenizer } from '../src/build-tokenizer.ts';
import { loadTokenizer } from '../src/tokenizer.ts';
import { byteLevel } from './byte-level.ts';
import { messageOf, scratch } from './scratch.ts';

const config = {
  bos_token: '<|end|>',
  eos_token: { content: '<|end|>', special: true },
  pad_token: '<|pad|>',
  unk_token: null,
};

test('a folder gives a tokenizer with its special tokens', async () => {
  const dir = await scratch();
  await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(byteLevel()));
  const bare = await loadTokenizer(dir);
  expect([bare.vocabSize, bare.bosId, bare.eosId, bare.padId]).toEqual([264, undefined, undefined, undefined]);
  await writeFile(join(dir, 'tokenizer_config.json'), JSON.stringify(config));
  const tokenizer = await loadTokenizer(dir);
  expect([tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([264, 262, 262, 263]);
});

test('text becomes the ids of the merges, with or without special tokens', () => {
  const tokenizer = buildTokenizer(byteLevel(), config);
  expect([...tokenizer.encode('hello world', { special: false })]).toEqual([259, 261, 114, 108, 100]);
  expect([...tokenizer.encode('hello')]).toEqual([262, 259]);
  expect([...tokenizer.encode('hello<|end|>hello', { special: false })]).toEqual([259, 262, 259]);
  expect([...tokenizer.encode('', { special: false })]).toEqual([]);
  expect(tokenizer.decode([262, 259, 263])).toBe('<|end|>hello<|pad|>');
  expect(tokenizer.decode([262, 259, 263], { skipSpecial: true })).toBe('hello');
  expect(tokenizer.decode(Int32Array.of(259))).toBe('hello');
  expect(tokenizer.decode([])).toBe('');
  expect(tokenizer.idOf('hello')).toBe(259);
  expect(tokenizer.idOf('none')).toBeUndefined();
});

test('any text comes back to the byte, whatever tidying the file asks for', () => {
  const tokenizer = buildTokenizer(byteLevel(), { ...config, clean_up_tokenization_spaces: true });
  const text = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.stringMatching(/^[ \n\t.,!?'a-d0-9]{0,40}$/),
    fc.constantFrom("it 's , no .", '  two  spaces ', '\r\n\ufeff\u0000', '__proto__', '日本語 👩‍👩‍👧‍👦'),
  );
  fc.assert(
    fc.property(text, (s) => {
      const ids = tokenizer.encode(s, { special: false });
      expect(ids.every((id) => id >= 0 && id < tokenizer.vocabSize)).toBe(true);
      expect(tokenizer.decode(ids)).toBe(s);
      expect(tokenizer.decode(tokenizer.encode(s), { skipSpecial: true })).toBe(s);
    }),
    { numRuns: 1_000 },
  );
});

test('a long text comes back whole', () => {
  const tokenizer = buildTokenizer(byteLevel(), config);
  const text = Array.from({ length: 40_000 }, (_, i) => `w${(i * i) % 9973}`).join(' ');
  const ids = tokenizer.encode(text, { special: false });
  expect(ids.length).toBeGreaterThan(150_000);
  expect(tokenizer.decode(ids) === text).toBe(true);
});

test('ids that are not in the vocabulary are refused', async () => {
  const tokenizer = buildTokenizer(byteLevel(), config);
  for (const id of [264, -1, 0.5, Number.NaN, 2 ** 40])
    expect(await messageOf('bad-data', () => tokenizer.decode([259, id]))).toContain(
      `id ${id} is not in the vocabulary`,
    );
});

test('a text that the vocabulary cannot spell is refused, not shortened', async () => {
  const json = byteLevel();
  const { q: _, ...vocab } = json.model['vocab'] as Record<string, number>;
  const tokenizer = buildTokenizer({ ...json, model: { ...json.model, vocab } });
  expect(tokenizer.decode(tokenizer.encode('hello', { special: false }))).toBe('hello');
  expect(await messageOf('bad-data', () => tokenizer.encode('a quick fox'))).toContain('no id for a character');
  const unknown = buildTokenizer({ ...json, model: { ...json.model, vocab, unk_token: 'h' } });
  expect([...unknown.encode('q', { special: false })]).toEqual([104]);
});

test('the kind of model that an old file leaves out is told by its parts', () => {
  const json = byteLevel();
  const { type: _, ...model } = json.model;
  expect([...buildTokenizer({ ...json, model }).encode('hello', { special: false })]).toEqual([259]);
  const pieces = {
    vocab: { '[UNK]': 0, un: 1, '##able': 2 },
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
  };
  const words = buildTokenizer({ pre_tokenizer: { type: 'Whitespace' }, model: pieces });
  expect([...words.encode('unable x')]).toEqual([1, 2, 0]);
});

type Json = ReturnType<typeof byteLevel>;
const bad: [string, (json: Json) => unknown, string][] = [
  ['no model', ({ model: _, ...rest }) => rest, 'model.vocab is neither'],
  ['no vocabulary', (json) => ({ ...json, model: { ...json.model, vocab: 7 } }), 'model.vocab is neither'],
  [
    'an empty vocabulary',
    (json) => ({ ...json, added_tokens: [], model: { ...json.model, vocab: {} } }),
    'vocabulary is empty',
  ],
  [
    'an unknown kind of model',
    (json) => ({ ...json, model: { ...json.model, type: 'X' } }),
    'model.type "X" is none of BPE, WordPiece, Unigram',
  ],
  ['an unknown decoder', (json) => ({ ...json, decoder: { type: 'X' } }), 'Unknown Decoder type: X'],
  ['no merges', (json) => ({ ...json, model: { ...json.model, merges: null } }), 'not a sound tokenizer'],
  ['a huge id', (json) => ({ ...json, added_tokens: [{ id: 2 ** 31, content: 'x' }] }), 'token "x" has id 2147483648'],
  ['a negative id', (json) => ({ ...json, model: { ...json.model, vocab: { a: -1 } } }), 'token "a" has id -1'],
  ['a text as id', (json) => ({ ...json, model: { ...json.model, vocab: { a: '0' } } }), 'token "a" has id "0"'],
  [
    'two tokens with one id',
    (json) => ({ ...json, model: { ...json.model, vocab: { a: 0, b: 0 } } }),
    'tokens "a" and "b" share the id 0',
  ],
  ['an added token without text', (json) => ({ ...json, added_tokens: [{ id: 1 }, null] }), 'is not a text'],
  ['added tokens that are no list', (json) => ({ ...json, added_tokens: {} }), 'added_tokens is not a list'],
];

test.each(bad)('%s: one clear error', async (_, change, want) => {
  const dir = await scratch();
  await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(change(byteLevel())));
  const message = await messageOf('bad-tokenizer', () => loadTokenizer(dir));
  expect(message).toContain(want);
  expect(message.startsWith(join(dir, 'tokenizer.json'))).toBe(true);
});

test('a special token that is not in the vocabulary, and missing files, are told', async () => {
  const message = await messageOf('bad-tokenizer', () => buildTokenizer(byteLevel(), { eos_token: '</s>' }));
  expect(message).toContain('has no token "</s>", which tokenizer_config.json names as eos_token');
  const dir = await scratch();
  expect(await messageOf('file-missing', () => loadTokenizer(dir))).toContain('tokenizer.json');
  await writeFile(join(dir, 'tokenizer.json'), '{');
  expect(await messageOf('bad-tokenizer', () => loadTokenizer(dir))).toContain('not JSON');
});

test('a tokenizer.json with any part replaced works or is refused with our error', () => {
  const part = fc.constantFrom('model', 'added_tokens', 'normalizer', 'pre_tokenizer', 'post_processor', 'decoder');
  fc.assert(
    fc.property(
      part,
      fc.constantFrom('', 'type', 'vocab', 'merges', 'single', 'pattern'),
      fc.jsonValue(),
      (name, key, value) => {
        const json = byteLevel() as Record<string, unknown>;
        json[name] = key === '' ? value : { ...(json[name] as object), [key]: value };
        try {
          const tokenizer = buildTokenizer(json);
          return tokenizer.encode('hello, world').every((id) => id >= 0 && id < tokenizer.vocabSize);
        } catch (error) {
          if (!isPeftError(error)) throw error;
          return error.code === 'bad-tokenizer' || error.code === 'bad-data';
        }
      },
    ),
    { numRuns: 500 },
  );
});
