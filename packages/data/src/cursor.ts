import { PeftError } from '@peftjs/tensor';
import type { Cursor } from './stream.ts';

const isObject = (value: unknown): value is Cursor =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const refuse = (stage: string, problem: string): never => {
  throw new PeftError(
    'state-mismatch',
    `${stage}: the cursor ${problem}, so it is not one of this stream. Resume with the stages, options and files it was made with.`,
  );
};

/** The error of a stage whose source is no longer the one that its cursor was made for. */
export const changed = (stage: string): PeftError =>
  new PeftError(
    'state-mismatch',
    `${stage}: the data has changed since the cursor was made: there is less of it. Resume with the same, or start anew.`,
  );

/** A cursor of a stage: its name and what it was made with, then where it stands. */
export const cursorOf = (stage: string, made: Cursor, at: Cursor): Cursor => ({ stage, ...made, ...at });

/** Checks that a cursor is one of this stage, made with the same. Throws `state-mismatch`. */
export const checkCursor = (stage: string, made: Cursor, at: unknown): Cursor => {
  if (!isObject(at)) return refuse(stage, `is ${JSON.stringify(at)}`);
  if (at['stage'] !== stage) return refuse(stage, `is one of ${JSON.stringify(at['stage'])}`);
  for (const [name, value] of Object.entries(made))
    if (at[name] !== value)
      refuse(stage, `says ${name} ${JSON.stringify(at[name])}, here it is ${JSON.stringify(value)}`);
  return at;
};

/** A count in a cursor that was checked. Throws `state-mismatch`. */
export const countIn = (stage: string, at: Cursor, name: string, most: number = Number.MAX_SAFE_INTEGER): number => {
  const value = at[name];
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most) return value as number;
  return refuse(stage, `says ${name} ${JSON.stringify(value)}`);
};

/** The cursor of a stage's input in its own, null where it has none. Throws `state-mismatch`. */
export const inputIn = (stage: string, at: Cursor, name = 'input'): Cursor | null => {
  const value = at[name];
  return value === null || isObject(value) ? value : refuse(stage, `says ${name} ${JSON.stringify(value)}`);
};
