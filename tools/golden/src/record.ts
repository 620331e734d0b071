import { readFile } from 'node:fs/promises';
import { openSafetensors } from '@peftjs/io';

/** What `check.py` records of a base model with an adapter. */
export interface CheckRecord {
  readonly versions: Readonly<Record<string, string>>;
  /** SHA-256 by file name. */
  readonly base: Readonly<Record<string, string>>;
  readonly adapter: Readonly<Record<string, string>>;
  /** Of predicting each id after the first, in nats per token: with the adapter and without. */
  readonly loss: number;
  readonly baseLoss: number;
}

/** Reads a record. */
export const readRecord = async (path: string): Promise<CheckRecord> =>
  JSON.parse(await readFile(path, 'utf8')) as CheckRecord;

/** What the safetensors file beside a record holds: the ids, and the logits [positions, vocabulary] of some of their positions. */
export const recordedTensors = async (
  path: string,
): Promise<{ readonly ids: Int32Array; readonly positions: Int32Array; readonly logits: Float32Array }> => {
  await using file = await openSafetensors(path.replace(/\.json$/, '.safetensors'));
  const integers = async (name: string): Promise<Int32Array> => Int32Array.from(await file.readFloat32(name));
  return {
    ids: await integers('ids'),
    positions: await integers('positions'),
    logits: await file.readFloat32('logits'),
  };
};
