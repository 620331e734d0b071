import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isPeftError } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { memoryFiles } from '../src/files/memory-files.ts';
import { buildTokenizer } from '../src/tokenizer/build.ts';
import { loadTokenizer } from '../src/tokenizer.ts';
import { byteLevel } from './byte-level.ts';
import { processorTime } from './processor-time.ts';
import { scratch } from './scratch.ts';

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

test('ids of a padded vocabulary give nothing, what is no id is refused', async () => {
  const tokenizer = buildTokenizer(byteLevel(), config);
  expect(tokenizer.decode([259, 264, 5000, 259])).toBe('hellohello');
  expect(tokenizer.decode([264])).toBe('');
  for (const id of [-1, 0.5, Number.NaN, 2 ** 40])
    expect(await messageOf('bad-data', () => tokenizer.decode([259, id]))).toContain(`${id} is no id`);
});

test('a wrong argument is the fault of the argument', async () => {
  const tokenizer = buildTokenizer(byteLevel(), config);
  for (const [wrong, kind] of [
    [5, 'of type number'],
    [null, 'null'],
    [['a'], 'of type object'],
  ] as const)
    expect(await messageOf('bad-option', () => tokenizer.encode(wrong as unknown as string))).toBe(
      `encode: the text is ${kind}; give a string.`,
    );
  for (const wrong of [5, undefined, {}, '12'])
    expect(await messageOf('bad-option', () => tokenizer.decode(wrong as unknown as number[]))).toContain(
      'give a list of whole numbers',
    );
  for (const wrong of [undefined, '5', {}, 5n])
    expect(await messageOf('bad-data', () => tokenizer.decode([wrong] as unknown as number[]))).toContain('is no id');
});

const folders: Readonly<Record<string, Folder>> = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../tools/golden/data/io/tokenizer-classes.json'), 'utf8'),
);
interface Folder {
  readonly tokenizer: string;
  readonly further: object;
  readonly config: object;
  readonly type: string | null;
  readonly pad: number | null;
  readonly rows: readonly (readonly [text: string, ids: number[], decoded: string])[];
  readonly pair: readonly number[];
}

test.each(Object.keys(folders))('folder %s: texts have the ids of the class that it names', async (name) => {
  const { tokenizer: own, further, config, type, pad, rows, pair } = folders[name]!;
  const { model, parts } = golden.tokenizers[own]!;
  const bytes = (json: object): Uint8Array => new TextEncoder().encode(JSON.stringify(json));
  const tokenizer = await loadTokenizer(
    memoryFiles(
      new Map([
        ['tokenizer.json', bytes({ ...parts, ...further, model: golden.models[model] })],
        ['tokenizer_config.json', bytes(config)],
        ...(type === null ? [] : [['config.json', bytes({ model_type: type })] as const]),
      ]),
    ),
  );
  const bare = rows.map(([text]) => tokenizer.encode(text, { special: false }));
  expect(rows.map(([text, ids]) => [text, [...tokenizer.encode(text)], tokenizer.decode(ids)])).toEqual(rows);
  expect([...tokenizer.pair(bare[0]!, bare[1]!).ids]).toEqual(pair);
  expect(tokenizer.padId ?? null).toBe(pad);
});

interface Golden {
  readonly models: Readonly<Record<string, object>>;
  readonly tokenizers: Readonly<Record<string, { model: string; parts: object; rows: readonly Row[] }>>;
}
type Row = readonly [text: string, ids: number[], plain: number[], decoded: string, skipped: string, each: string[]];

const golden: Golden = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../tools/golden/data/io/tokenizers.json'), 'utf8'),
);

test.each(Object.keys(golden.tokenizers))('%s: odd texts have the ids and come back as in Python', (name) => {
  const { model, parts, rows } = golden.tokenizers[name]!;
  const tokenizer = buildTokenizer({ ...parts, model: golden.models[model] });
  for (const [text, ids, plain, decoded, skipped, each] of rows)
    expect([
      text,
      [...tokenizer.encode(text)],
      [...tokenizer.encode(text, { special: false })],
      tokenizer.decode(plain),
      tokenizer.decode(ids, { skipSpecial: true }),
      plain.slice(0, 5).map((id) => tokenizer.decode([id])),
    ]).toEqual([text, ids, plain, decoded, skipped, each]);
});

test('tokens that only tokenizer_config.json knows are added as transformers adds them', async () => {
  const pad = { content: '[PAD]', lstrip: false, rstrip: false, normalized: false, single_word: false, special: true };
  const later = buildTokenizer(byteLevel(), { pad_token: '[PAD]', added_tokens_decoder: { 264: pad } });
  expect([later.padId, later.vocabSize, later.idOf('[PAD]')]).toEqual([264, 265, 264]);
  expect([...later.encode('hello[PAD]', { special: false })]).toEqual([259, 264]);
  expect(later.decode([259, 264], { skipSpecial: true })).toBe('hello');
  // Those that are only named come behind the others, and are special.
  const named = buildTokenizer(byteLevel(), {
    eos_token: { content: '</s>' },
    additional_special_tokens: ['<a>', '</s>'],
    added_tokens_decoder: { 264: pad },
  });
  expect([named.eosId, named.idOf('<a>'), named.vocabSize]).toEqual([265, 266, 267]);
  expect([...named.encode('<a></s>[PAD]hello', { special: false })]).toEqual([266, 265, 264, 259]);
  const message = await messageOf('bad-tokenizer', () =>
    buildTokenizer(byteLevel(), { added_tokens_decoder: { 300: pad } }),
  );
  expect(message).toContain('gives token "[PAD]" the id "300"; the next is 264');
});

test('regular expressions of a file never hang', async () => {
  const start = processorTime();
  const json = byteLevel();
  const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });
  const text = `${'a'.repeat(3000)}b`;
  for (const pattern of ['(a+)+$', '(a|aa)+$', '(?:a+)*c', '.*'.repeat(60)]) {
    const pre_tokenizer = { type: 'Sequence', pretokenizers: [split(pattern), json['pre_tokenizer']] };
    const tokenizer = buildTokenizer({ ...json, pre_tokenizer });
    expect(tokenizer.decode(tokenizer.encode(text, { special: false }))).toBe(text);
    const normalizer = { type: 'Replace', pattern: { Regex: `${pattern}` }, content: '$1' };
    buildTokenizer({ ...json, normalizer }).encode(text);
  }
  for (const [pattern, why] of [
    ['(a)\\1', 'references to groups'],
    ['(', 'a parenthesis is not closed'],
    ['(a|)*', 'turns may be empty'],
    ['((.*)*)*x', 'turns may be empty'],
    ['\\p{Nothing}', 'no set of characters called'],
  ] as const)
    expect(await messageOf('bad-tokenizer', () => buildTokenizer({ ...json, pre_tokenizer: split(pattern) }))).toMatch(
      why,
    );
  expect(processorTime() - start).toBeLessThan(5000);
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
  ['an unknown decoder', (json) => ({ ...json, decoder: { type: 'X' } }), 'decoder: X: is not read'],
  [
    'merges that make tokens at random',
    (json) => ({ ...json, model: { ...json.model, dropout: 0.1 } }),
    'dropout is not supported',
  ],
  [
    'a word length without bounds',
    (json) => ({ ...json, model: { ...json.model, type: 'WordPiece', max_input_chars_per_word: 1e9 } }),
    'max_input_chars_per_word is not a whole number up to 1000',
  ],
  ...[3, -1, 0.5, '1'].map((id): (typeof bad)[number] => [
    `an unknown token ${JSON.stringify(id)} that is no place of the vocabulary`,
    ({ model: _, ...rest }) => ({
      ...rest,
      model: {
        type: 'Unigram',
        vocab: [
          ['a', 0],
          ['b', -1],
        ],
        unk_id: id,
      },
    }),
    `model.unk_id is ${JSON.stringify(id)}, no place in the vocabulary of 2`,
  ]),
  [
    'a template without the text',
    (json) => ({ ...json, post_processor: { type: 'TemplateProcessing', single: [], special_tokens: {} } }),
    'single leaves the text out',
  ],
  [
    'a template with an id that is not there',
    (json) => ({ ...json, post_processor: { type: 'BertProcessing', cls: ['a', 999], sep: ['b', 1] } }),
    'puts id 999 around a text',
  ],
  [
    'parts within parts',
    (json) => ({
      ...json,
      normalizer: Array.from({ length: 50 }).reduce((inner) => ({ type: 'Sequence', normalizers: [inner] }), null),
    }),
    'nested more than 32 deep',
  ],
  // As Python's tokenizers 0.23 refuse them.
  ['no merges', (json) => ({ ...json, model: { ...json.model, merges: null } }), 'model.merges is not a list'],
  ['a merge that is none', (json) => ({ ...json, model: { ...json.model, merges: [5] } }), 'model.merges[0] is 5'],
  [
    'a merge of three',
    (json) => ({ ...json, model: { ...json.model, merges: [['a', 'b', 'c']] } }),
    'model.merges[0] is ["a","b","c"], not two tokens',
  ],
  [
    'a merge of what is no token',
    (json) => ({ ...json, model: { ...json.model, merges: ['zq qz'] } }),
    'model.merges[0] has "zq", which is not in the vocabulary',
  ],
  [
    'a merge into what is no token',
    (json) => ({ ...json, model: { ...json.model, vocab: { a: 0, b: 1 }, merges: [['a', 'b']] } }),
    'model.merges[0] has "ab", which is not in the vocabulary',
  ],
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

test('missing files are told', async () => {
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
