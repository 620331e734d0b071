import { expect } from 'vitest';
import { isPeftError, type PeftErrorCode } from '../error.ts';

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
