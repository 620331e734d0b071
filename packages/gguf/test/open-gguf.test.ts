import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadTokenizer, memoryFiles } from '@peftjs/io';
import { isPeftError } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { ggufFolder, loadGguf, openGguf, readValues } from '../src/index.ts';

const file = join(import.meta.dirname, '../../../tools/golden/data/gguf/qwen2.gguf');
const sound = new Uint8Array(readFileSync(file));

/** A file of bytes. */
const of = (bytes: Uint8Array) => ({ files: memoryFiles(new Map([['model.gguf', bytes]])), path: 'model.gguf' });

/** Bytes with others at a place. */
const patched = (at: number, bytes: readonly number[]): Uint8Array => {
  const copy = sound.slice();
  copy.set(bytes, at);
  return copy;
};

/** The place of a text in the file. */
const placeOf = (text: string): number => Buffer.from(sound).indexOf(text);

/** Bytes of a number of 64 bits. */
const u64 = (value: bigint): number[] => [...new Uint8Array(BigUint64Array.of(value).buffer)];

test('metadata and tensors are told, values are read when asked for', async () => {
  const { metadata, tensors } = await openGguf(file);
  expect(metadata.get('general.architecture')).toBe('qwen2');
  expect(metadata.get('qwen2.embedding_length')).toBe(64);
  const table = tensors.get('token_embd.weight')!;
  expect([table.shape, table.storage]).toEqual([[320, 64], 'Q8_0']);
  expect(await readValues(table)).toHaveLength(320 * 64);
});

test('a header that is cut off anywhere is told so', async () => {
  const header = placeOf('output_norm.weight');
  for (let length = 0; length < header; length += 1 + Math.floor(length / 40))
    await expect(openGguf(of(sound.slice(0, length)))).rejects.toMatchObject({ code: 'bad-gguf' });
});

test('a file that ends before its tensors do is told so', async () => {
  await expect(openGguf(of(sound.slice(0, -100)))).rejects.toThrow(
    /is to lie at bytes \d+ to \d+, the file has \d+: it is cut off/,
  );
});

test.each([
  ['it does not begin with GGUF', patched(0, [80, 75, 3, 4])],
  [
    'it is of big-endian numbers',
    patched(
      0,
      [...'FUGG'].map((letter) => letter.charCodeAt(0)),
    ),
  ],
  ['it is of version 9', patched(4, [9])],
  ['it claims 1152921504606846976 tensors, more than its \\d+ bytes can hold', patched(8, u64(2n ** 60n))],
  ['it claims 1152921504606846976 entries of metadata', patched(16, u64(2n ** 60n))],
  ['it claims 1152921504606846976 bytes of a name', patched(24, u64(2n ** 60n))],
  ['is of type 77, which GGUF has not', patched(24 + 8 + 'general.architecture'.length, [77])],
  ['a name in the metadata is no UTF-8', patched(32, [0xff])],
])('a file is refused because %s', async (why, bytes) => {
  await expect(openGguf(of(bytes))).rejects.toMatchObject({
    code: 'bad-gguf',
    message: expect.stringMatching(why) as string,
  });
});

test('a type of blocks that is not read is named', async () => {
  const at = placeOf('token_embd.weight') + 'token_embd.weight'.length + 4 + 16;
  await expect(openGguf(of(patched(at, [15])))).rejects.toThrow(
    /token_embd.weight is Q8_K, which is not read; read are F32/,
  );
});

test('sizes beyond what the tensors are do not fit', async () => {
  const at = placeOf('qwen2.feed_forward_length') + 'qwen2.feed_forward_length'.length + 4;
  await expect(loadGguf(of(patched(at, [97])))).rejects.toThrow(
    /blk.0.ffn_gate.weight is \[96,64\], the metadata make it \[97,64\]/,
  );
});

test('more blocks than there are tensors are refused before any is made', async () => {
  const at = placeOf('qwen2.block_count') + 'qwen2.block_count'.length + 4;
  await expect(loadGguf(of(patched(at, [255, 255, 255, 255])))).rejects.toThrow(
    /claims 4294967295 blocks and has 27 tensors/,
  );
});

test('a field that is not known is refused by name', async () => {
  const at = placeOf('qwen2.vocab_size') + 'qwen2.'.length;
  const bytes = patched(
    at,
    [...'xocab_size'].map((letter) => letter.charCodeAt(0)),
  );
  await expect(loadGguf(of(bytes))).rejects.toThrow(/asks for qwen2.xocab_size, which no qwen2 does here/);
});

test('an architecture that is not known is refused with those that are', async () => {
  const at = placeOf('qwen2');
  await expect(loadGguf(of(patched(at, [120])))).rejects.toThrow(
    /is of the architecture "xwen2"; supported are llama, qwen2/,
  );
});

test('a cut of texts that is not known is refused, and says what to do', async () => {
  const at = placeOf('tokenizer.ggml.pre') + 'tokenizer.ggml.pre'.length + 12;
  await expect(ggufFolder(of(patched(at, [120])))).rejects.toThrow(
    /cuts texts as "xwen2" .* known are gpt-2.* loadTokenizer\(folder\)/,
  );
});

test('loadModel and loadGguf name each other', async () => {
  await expect(loadModel(file)).rejects.toThrow(/is a GGUF file; loadGguf of @peftjs\/gguf reads it/);
  await expect(loadGguf(of(new TextEncoder().encode('{"a": 1, "b": 2, "c": 3}')))).rejects.toThrow(
    /does not begin with GGUF/,
  );
});

describe('bits that are turned', () => {
  test('give a model, or our error', async () => {
    const header = placeOf('output_norm.weight');
    let refused = 0;
    for (let i = 0; i < 300; i++) {
      const at = (i * 7919) % header;
      const bytes = patched(at, [sound[at]! ^ (1 << (i % 8))]);
      try {
        await loadGguf(of(bytes));
        await loadTokenizer(await ggufFolder(of(bytes)));
      } catch (error) {
        if (!isPeftError(error)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(20);
  });
});
