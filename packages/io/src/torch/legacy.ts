import type { OpenFile } from '../files/files.ts';
import { isKind, type PickleStorage, type PickleValue, unpickle } from './pickle.ts';
import { buildTorch, bytesOfStorage, storageOf } from './torch-value.ts';
import { readAt } from './zip.ts';

/** A file of torch before 1.6: pickles one after the other, then the storages. */
export interface LegacyFile {
  readonly value: PickleValue;
  /** First byte of each storage. */
  readonly starts: ReadonlyMap<string, number>;
}

const magic = 0x1950a86a20f9469cfc6cn;
const mostBytes = 2 ** 24;

/** Reads such a file. Throws `SyntaxError`. Source: torch, `serialization.py`, `_legacy_load`. */
export const readLegacy = async (file: OpenFile): Promise<LegacyFile> => {
  const view = await readAt(file, 0, Math.min(file.size, mostBytes));
  const bytes = new Uint8Array(view.buffer);
  const storages = new Map<string, PickleStorage>();
  let at = 0;
  const next = (): PickleValue => {
    const { value, end } = unpickle(bytes, at, buildTorch, (id) => {
      const storage = storageOf(id);
      const same = storages.get(storage.key) ?? storage;
      if (same.size !== storage.size || same.type !== storage.type)
        throw new SyntaxError('a storage is not of one size and type');
      storages.set(storage.key, storage);
      return storage;
    });
    at = end;
    return value;
  };
  let found: PickleValue = null;
  try {
    found = next();
  } catch {
    // Whatever it is, torch did not write it.
  }
  if (found !== magic) throw new SyntaxError('it is neither a zip archive nor a file of torch before 1.6');
  const [protocol, system] = [next(), next()];
  if (protocol !== 1001) throw new SyntaxError('its protocol is not known');
  if (isKind(system, 'dict') && system.entries.get('little_endian') !== true)
    throw new SyntaxError('its numbers are big-endian');
  const value = next();
  const keys = next();
  if (!isKind(keys, 'list')) throw new SyntaxError('the list of its storages is missing');
  const starts = new Map<string, number>();
  for (const key of keys.items) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (!storage || starts.has(storage.key)) throw new SyntaxError('the list of its storages is not sound');
    const size = await readAt(file, at, 8);
    if (Number(size.getBigInt64(0, true)) !== storage.size)
      throw new SyntaxError('a storage is not of the size that it should have');
    starts.set(storage.key, at + 8);
    at += 8 + bytesOfStorage(storage);
  }
  if (at > file.size) throw new SyntaxError(`its storages end at byte ${at}, the file at ${file.size}: it is cut off`);
  return { value, starts };
};
