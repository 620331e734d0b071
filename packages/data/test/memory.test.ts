import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const mebibyte = 2 ** 20;
let dir: string;
let file: string;
let bytes = 0;

/** A corpus of some 100 MB: documents of 20 to 4,000 letters. */
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'peftjs-data-'));
  file = join(dir, 'corpus.jsonl');
  const out = createWriteStream(file);
  const words =
    'call me ishmael some years ago never mind how long precisely having little or no money in my purse '.repeat(41);
  for (let i = 0; bytes < 100e6; i++) {
    const line = `${JSON.stringify({ text: words.slice(0, 20 + ((i * 7919) % 3980)) })}\n`;
    bytes += line.length;
    if (!out.write(line)) await new Promise<void>((done) => void out.once('drain', () => done()));
  }
  await new Promise<void>((done) => void out.end(done));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const read = async (mode: string): Promise<{ rows: number; grown: number; cursor: number }> => {
  const args = [
    '--conditions=@peftjs/source',
    '--import',
    'tsx',
    join(import.meta.dirname, '../tools/read-corpus.ts'),
    file,
    mode,
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: join(import.meta.dirname, '..') });
  return JSON.parse(stdout);
};

test('a corpus of 100 MB goes through all stages in memory that does not grow with it', async () => {
  const { rows, grown, cursor } = await read('stream');
  console.log(`${(bytes / 1e6).toFixed(0)} MB, ${rows} rows: the process grew by ${(grown / mebibyte).toFixed(0)} MiB`);
  expect(rows * 512).toBeGreaterThan(90e6);
  expect(grown).toBeLessThan(100 * mebibyte);
  expect(cursor).toBeLessThan(1000);
});

test('the measure sees a program that keeps the corpus as numbers', async () => {
  expect((await read('whole')).grown).toBeGreaterThan(300 * mebibyte);
});
