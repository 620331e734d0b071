import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { load } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { isPeftError } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { folder, goldens } from '../src/folder.ts';
import { formats } from '../src/targets/adapters.ts';

type Json = Record<string, unknown>;

/** The places of all numbers in a value. */
const numbersIn = (value: unknown, path: readonly string[] = []): (readonly string[])[] => {
  if (typeof value === 'number') return [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => numbersIn(inner, [...path, key]));
};

const withNumber = (json: Json, path: readonly string[], value: number): Json => {
  const out: Json = structuredClone(json);
  let at: Json = out;
  for (const key of path.slice(0, -1)) at = at[key] as Json;
  at[path.at(-1)!] = value;
  return out;
};

test('any number of a config, however large, is compared with what the file holds before anything is made of it', async () => {
  const base = await loadModel(join(goldens, 'python/models/plain'));
  const start = process.cpuUsage();
  let tried = 0;
  for (const name of (await readdir(join(goldens, 'python'))).filter((n) => n.startsWith('plain-'))) {
    const files = await folder(join(goldens, 'python', name, 'adapter')).catch(() => new Map<string, Uint8Array>());
    const bytes = files.get('adapter_config.json');
    if (!bytes) continue;
    const json: Json = JSON.parse(new TextDecoder().decode(bytes));
    for (const path of numbersIn(json))
      for (const value of [4e9, 1e15]) {
        const odd = new TextEncoder().encode(JSON.stringify(withNumber(json, path, value)));
        const error = await load(base, memoryFiles(new Map([...files, ['adapter_config.json', odd]])), formats).then(
          () => null,
          (e: unknown) => e,
        );
        if (error !== null && !isPeftError(error)) throw error;
        if (path.at(-1) === 'num_virtual_tokens')
          expect(error).toMatchObject({
            code: 'bad-adapter',
            message: expect.stringContaining(`num_virtual_tokens ${value}`),
          });
        tried++;
      }
  }
  expect(tried).toBeGreaterThan(200);
  const { user, system } = process.cpuUsage(start);
  // Milliseconds each, a base model of tens of layers included.
  expect((user + system) / 1000 / tried).toBeLessThan(50);
}, 120_000);
