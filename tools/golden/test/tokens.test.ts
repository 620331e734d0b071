import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { loadTokenizer } from '@peftjs/io';
import { expect, test } from 'vitest';

interface TokensGolden {
  readonly text: string;
  readonly ids: readonly number[];
  readonly decoded: string;
}

test("the base model's tokenizer gives the same tokens and the same text as in Python", async () => {
  const tokenizer = await loadTokenizer(baseModelDir());
  const file = join(import.meta.dirname, '../data/python/tokens.json');
  const golden = JSON.parse(await readFile(file, 'utf8')) as readonly TokensGolden[];
  expect(golden).toHaveLength(2);
  for (const { text, ids, decoded } of golden) {
    expect([...tokenizer.encode(text, { special: false })]).toEqual(ids);
    expect(tokenizer.decode(Int32Array.from(ids))).toBe(decoded);
  }
});
