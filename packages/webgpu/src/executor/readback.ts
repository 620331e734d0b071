import { byteSize, type Tensor, type TypedArray } from '@peftjs/tensor';
import { type Buffers, type Place, usage } from './buffers.ts';
import { copyBytes, mapToRead, takeBytes } from './transfer.ts';

/** A result to bring back. */
export interface Result {
  readonly name: string;
  readonly tensor: Tensor;
  readonly place: Place;
}

/** Brings results back through one mapped buffer, made at first use and kept. */
export interface Readback {
  /** Records the copies of results; none where all are empty. */
  encode(encoder: GPUCommandEncoder, results: readonly Result[]): void;
  /** Waits for the submitted copies of the same results, and reads them. */
  collect(results: readonly Result[]): Promise<Record<string, TypedArray>>;
  close(): void;
}

/** Where results lie one after the other. Offsets of copies must be whole words; these also keep results apart. */
export const layoutOf = (
  results: readonly Result[],
): { readonly offsets: readonly number[]; readonly bytes: number } => {
  let bytes = 0;
  const offsets = results.map(({ tensor }) => {
    const at = bytes;
    bytes += copyBytes(byteSize(tensor));
    return at;
  });
  return { offsets, bytes };
};

/** The readback of one executable. */
export const readback = (device: GPUDevice, buffers: Buffers): Readback => {
  let staging: GPUBuffer | null = null;

  const reserve = (bytes: number): GPUBuffer => {
    if (staging && staging.size >= bytes) return staging;
    if (staging) buffers.free(staging);
    staging = null;
    staging = buffers.allocate('staging', 'results', bytes, usage.mapRead | usage.copyTarget);
    return staging;
  };

  return {
    encode: (encoder, results) => {
      const { offsets, bytes } = layoutOf(results);
      if (bytes === 0) return;
      const target = reserve(bytes);
      for (const [i, { tensor, place }] of results.entries()) {
        const size = copyBytes(byteSize(tensor));
        if (size > 0) encoder.copyBufferToBuffer(place.buffer, place.offset, target, offsets[i]!, size);
      }
    },
    collect: async (results) => {
      const { offsets, bytes } = layoutOf(results);
      if (bytes === 0)
        return Object.fromEntries(results.map(({ name, tensor }) => [name, takeBytes(tensor, new ArrayBuffer(0), 0)]));
      await mapToRead(device, staging!, bytes);
      try {
        const mapped = staging!.getMappedRange(0, bytes);
        return Object.fromEntries(results.map(({ name, tensor }, i) => [name, takeBytes(tensor, mapped, offsets[i]!)]));
      } finally {
        staging!.unmap();
      }
    },
    close: () => {
      if (staging) buffers.free(staging);
      staging = null;
    },
  };
};
