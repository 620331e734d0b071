import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memoryFiles } from '@peftjs/io';
import { afterAll, expect, test } from 'vitest';
import { cached, fromArray, jsonl, map, pipe, type Row, shuffle, sourceKey, tokenize } from '../src/index.ts';
import { failure, obeysStreamLaws, readAll } from './stream-laws.ts';

const folder = await mkdtemp(join(tmpdir(), 'peftjs-cached-'));
afterAll(() => rm(folder, { recursive: true }));

const rows: readonly Row[] = Array.from({ length: 40 }, (_, i) => ({
  ids: new Int32Array((i % 5) + 1).fill(i),
  mask: new Uint8Array((i % 3) + 1).fill(1),
  ...(i % 11 === 0 && { weight: Float32Array.of(i / 2) }),
}));

test('rows are those that were made, made once, and read in parts', async () => {
  const [files, made] = [memoryFiles(), [] as string[]];
  let read = 0;
  const source = pipe(
    fromArray(rows),
    map((row) => {
      read++;
      return row;
    }),
  );
  const stream = pipe(source, cached({ folder: files, key: 'a', onMake: (reason) => made.push(reason) }));
  expect(await obeysStreamLaws(stream)).toEqual(rows);
  // In a later run too.
  const later = pipe(source, cached({ folder: files, key: 'a', onMake: (reason) => made.push(reason) }));
  const mixed = await obeysStreamLaws(pipe(later, shuffle({ seed: 1, window: 3 })));
  expect([read, made]).toEqual([rows.length, ['new']]);
  expect(mixed).not.toEqual(rows);
  expect(mixed.map(({ ids }) => ids![0]!).sort((a, b) => a - b)).toEqual(rows.map((_, i) => i));
  // Other options are other rows.
  const other = pipe(
    fromArray(rows.slice(0, 3)),
    cached({ folder: files, key: 'b', onMake: (reason) => made.push(reason) }),
  );
  const { cursors } = await readAll(stream);
  expect((await readAll(other)).items).toHaveLength(3);
  expect(await failure('state-mismatch', other, cursors[1])).toContain('cached');
});

test('what is damaged on disk is made again, wherever the damage is', async () => {
  const made: string[] = [];
  const stream = () => pipe(fromArray(rows), cached({ folder, key: 'c', onMake: (reason) => made.push(reason) }));
  await readAll(stream());
  const names = await readdir(folder);
  const [data, index] = ['.rows', '.json'].map((end) => join(folder, names.find((name) => name.endsWith(end))!));
  const bytes = await readFile(data!);
  const damaged = async (path: string, content: Uint8Array): Promise<void> => {
    await writeFile(path, content);
    made.length = 0;
    expect((await readAll(stream())).items).toEqual(rows);
    expect(made).toEqual(['damaged']);
  };
  const flipped = Uint8Array.from(bytes);
  flipped[bytes.length - 3]! ^= 1;
  await damaged(data!, flipped);
  await damaged(data!, bytes.subarray(0, bytes.length - 5));
  await damaged(index!, new TextEncoder().encode('{"version":1,"blocks":[{"at":0'));
  await damaged(
    index!,
    (await readFile(index!)).map((byte) => (byte === 0x31 ? 0x32 : byte)),
  );
});

test('a source that fails leaves nothing behind', async () => {
  const files = memoryFiles(new Map([['a.jsonl', '{"text":"x"}\n{"text":']]));
  const tokens = tokenize({ encode: (text) => Int32Array.from(text, (c) => c.charCodeAt(0)) });
  const stream = pipe(jsonl({ files, path: 'a.jsonl' }), tokens, cached({ folder: files, key: 'd' }));
  expect(await failure('bad-data', stream)).toContain('a.jsonl line 2');
  expect(await files.list()).toEqual(['a.jsonl']);
  const before = await sourceKey({ files, path: 'a.jsonl' });
  await files.write(new Map([['a.jsonl', '{"text":"y"}\n{"text":']]));
  expect(await sourceKey({ files, path: 'a.jsonl' })).toEqual({
    ...before,
    sha256: expect.not.stringMatching(before.sha256),
  });
});
