import { PeftError } from '../error.ts';
import type { MemoryReport } from '../executor.ts';

/** What a buffer is for: `GPUBufferUsage`, which Node has no global for. */
export const usage = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, uniform: 0x40, storage: 0x80 } as const;

/** A buffer that kernels use and that data is copied to and from. */
export const tensorUsage: number = usage.storage | usage.copySource | usage.copyTarget;

/** Takes and gives back device memory, counted. */
export interface Buffers {
  /** Throws `out-of-memory` when it is more than the adapter gives to one buffer. Must run in `captureErrors`. */
  allocate(label: string, bytes: number, usage: number): GPUBuffer;
  /** Safe also while submitted work uses it: WebGPU waits. */
  free(buffer: GPUBuffer): void;
  report(): MemoryReport;
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** The memory of a device. */
export const deviceBuffers = (device: GPUDevice): Buffers => {
  const held = new Set<GPUBuffer>();
  let now = 0;
  let peak = 0;
  return {
    allocate: (label, size, use) => {
      const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
      const limit = use & usage.storage ? Math.min(maxBufferSize, maxStorageBufferBindingSize) : maxBufferSize;
      if (size > limit)
        throw new PeftError(
          'out-of-memory',
          `webgpu: ${label} takes ${mib(size)}, this adapter gives ${mib(limit)} to one buffer; use a smaller batch or context, or the cpu executor`,
        );
      const buffer = device.createBuffer({ label, size, usage: use });
      held.add(buffer);
      now += size;
      peak = Math.max(peak, now);
      return buffer;
    },
    free: (buffer) => {
      if (!held.delete(buffer)) return;
      now -= buffer.size;
      buffer.destroy();
    },
    report: () => ({ now, peak }),
  };
};
