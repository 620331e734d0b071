import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';

const made: string[] = [];

/** An empty folder that is removed after the test. */
export const scratch = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-io-'));
  made.push(dir);
  return dir;
};

afterEach(async () => {
  for (const dir of made.splice(0)) await rm(dir, { recursive: true, force: true });
});

/** All names below a folder, sorted. */
export const filesIn = async (dir: string): Promise<string[]> => (await readdir(dir, { recursive: true })).sort();
