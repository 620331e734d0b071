import { byteSize } from '../graph.ts';
import type { Results } from '../kept.ts';
import { type Buffers, usage } from './buffers.ts';
import { layoutOf, type Result } from './readback.ts';
import { copyBytes, takeBytes } from './transfer.ts';

/** Runs whose results the device holds, at most, before they are brought to the host. */
const capacity = 64;

/** Results of runs that stay on the device until somebody asks: a run then neither waits nor reads. */
export interface Ring {
  /** Whether these results can't be added before those that are there are collected. */
  isFull(results: readonly Result[]): boolean;
  /** Records the copies of one run's results. */
  encode(encoder: GPUCommandEncoder, results: readonly Result[]): void;
  /** Brings all results to the host. */
  collect(): Promise<void>;
  /** What was collected, oldest first, once. */
  take(): Results[];
  close(): void;
}

/** The ring of one executable. */
export const makeRing = (device: GPUDevice, buffers: Buffers): Ring => {
  let memory: { readonly ring: GPUBuffer; readonly staging: GPUBuffer } | null = null;
  /** What each entry holds. */
  let shape: readonly Result[] = [];
  let count = 0;
  let taken: Results[] = [];

  const close = (): void => {
    if (!memory) return;
    buffers.free(memory.ring);
    buffers.free(memory.staging);
    memory = null;
  };

  const isSame = (results: readonly Result[]): boolean =>
    results.length === shape.length && results.every(({ name }, i) => name === shape[i]!.name);

  const collect = async (): Promise<void> => {
    if (count === 0) return;
    const { offsets, bytes } = layoutOf(shape);
    const read = (mapped: ArrayBuffer, at: number): Results =>
      Object.fromEntries(shape.map(({ name, tensor }, i) => [name, takeBytes(tensor, mapped, at + offsets[i]!)]));
    const entries = count;
    count = 0;
    if (!memory) {
      // All of them are empty tensors.
      taken.push(...Array.from({ length: entries }, () => read(new ArrayBuffer(0), 0)));
      return;
    }
    const { ring, staging } = memory;
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(ring, 0, staging, 0, entries * bytes);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1, 0, entries * bytes);
    const mapped = staging.getMappedRange(0, entries * bytes);
    for (let i = 0; i < entries; i++) taken.push(read(mapped, i * bytes));
    staging.unmap();
  };

  return {
    isFull: (results) => count > 0 && (count === capacity || !isSame(results)),
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
          encoder.copyBufferToBuffer(place.buffer, place.offset, memory!.ring, count * bytes + offsets[i]!, size);
      }
      count++;
    },
    collect,
    take: () => {
      const all = taken;
      taken = [];
      return all;
    },
    close,
  };
};
