import { byteSize } from '@peftjs/tensor';
import type { Results } from '@peftjs/tensor/executor';
import { type Buffers, usage } from './buffers.ts';
import { layoutOf, type Result } from './readback.ts';
import { copyBytes, copyToRead, takeBytes } from './transfer.ts';

/** Runs whose results the device holds, at most, before they are brought to the host. */
const capacity = 64;

/** One run's place among the results. Where the device refused the run nothing was written there. */
export interface Entry {
  refused: boolean;
}

/** Results of runs that stay on the device until somebody asks: a run then neither waits nor reads. */
export interface Ring {
  /** Whether these results can't be added before those that are there are collected. */
  isFull(results: readonly Result[]): boolean;
  /** Records the copies of one run's results. */
  encode(encoder: GPUCommandEncoder, results: readonly Result[]): Entry;
  /** Brings all results to the host. */
  collect(): Promise<void>;
  /** The collected outputs of runs that the device did, oldest first, once. */
  take(): Results[];
  close(): void;
}

/** The ring of one executable. */
export const makeRing = (device: GPUDevice, buffers: Buffers): Ring => {
  let memory: { readonly ring: GPUBuffer; readonly staging: GPUBuffer } | null = null;
  /** The content of each entry. */
  let shape: readonly Result[] = [];
  let entries: Entry[] = [];
  let taken: { readonly entry: Entry; readonly results: Results }[] = [];

  const close = (): void => {
    if (!memory) return;
    buffers.free(memory.ring);
    buffers.free(memory.staging);
    memory = null;
  };

  const isSame = (results: readonly Result[]): boolean =>
    results.length === shape.length && results.every(({ name }, i) => name === shape[i]!.name);

  const collect = async (): Promise<void> => {
    if (entries.length === 0) return;
    const { offsets, bytes } = layoutOf(shape);
    const read = (mapped: ArrayBuffer, at: number): Results =>
      Object.fromEntries(shape.map(({ name, tensor }, i) => [name, takeBytes(tensor, mapped, at + offsets[i]!)]));
    const runs = entries;
    entries = [];
    if (!memory) {
      // All of them are empty tensors.
      taken.push(...runs.map((entry) => ({ entry, results: read(new ArrayBuffer(0), 0) })));
      return;
    }
    const { ring, staging } = memory;
    const what = 'the kept results of runs';
    const from = { buffer: ring, offset: 0 };
    const mapped = await copyToRead(device, { what, from, to: staging, bytes: runs.length * bytes }).catch(
      (error: unknown) => {
        // It may never have been there: the next run takes another.
        close();
        throw error;
      },
    );
    for (const [i, entry] of runs.entries()) taken.push({ entry, results: read(mapped, i * bytes) });
    staging.unmap();
  };

  return {
    isFull: (results) => entries.length > 0 && (entries.length === capacity || !isSame(results)),
    encode: (encoder, results) => {
      const { offsets, bytes } = layoutOf(results);
      if (!isSame(results)) {
        close();
        shape = results;
      }
      if (bytes > 0)
        memory ??= {
          ring: buffers.allocate('staging', 'kept results', capacity * bytes, usage.copySource | usage.copyTarget),
          staging: buffers.allocate('staging', 'kept results', capacity * bytes, usage.mapRead | usage.copyTarget),
        };
      for (const [i, { tensor, place }] of results.entries()) {
        const size = copyBytes(byteSize(tensor));
        if (size > 0)
          encoder.copyBufferToBuffer(
            place.buffer,
            place.offset,
            memory!.ring,
            entries.length * bytes + offsets[i]!,
            size,
          );
      }
      const entry: Entry = { refused: false };
      entries.push(entry);
      return entry;
    },
    collect,
    take: () => {
      const all = taken;
      taken = [];
      return all.flatMap(({ entry, results }) => (entry.refused ? [] : [results]));
    },
    close,
  };
};
