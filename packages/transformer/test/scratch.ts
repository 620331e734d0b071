import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isPeftError, type PeftErrorCode } from '@peftjs/tensor';
import { afterEach, expect } from 'vitest';

const made: string[] = [];

/** An empty folder that is removed after the test. */
export const scratch = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-transformer-'));
  made.push(dir);
  return dir;
};

afterEach(async () => {
  for (const dir of made.splice(0)) await rm(dir, { recursive: true, force: true });
});

/** Runs an action that must fail with a `PeftError` of this code, and gives back its message. */
export const messageOf = async (code: PeftErrorCode, action: () => unknown): Promise<string> => {
  try {
    await action();
  } catch (error) {
    if (!isPeftError(error)) throw error;
    expect(error.code).toBe(code);
    return error.message;
  }
  throw new Error(`expected an error ${code}, got none`);
};
