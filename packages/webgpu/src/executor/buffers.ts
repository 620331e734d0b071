import { type MemoryKind, type MemoryReport, PeftError } from '@peftjs/tensor';
import { mebibytes } from '@peftjs/tensor/executor';

/** The uses of a buffer: `GPUBufferUsage`, which Node has no global for. */
export const usage = {
  mapRead: 0x1,
  copySource: 0x4,
  copyTarget: 0x8,
  uniform: 0x40,
  storage: 0x80,
  queries: 0x200,
} as const;

/** A buffer that kernels use and that data is copied to and from. */
export const tensorUsage: number = usage.storage | usage.copySource | usage.copyTarget;

/** Where something lies. */
export interface Place {
  readonly buffer: GPUBuffer;
  readonly offset: number;
}

/** Takes and gives back device memory, counted. */
export interface Buffers {
  /** Throws `out-of-memory` when it is more than the adapter gives to one buffer. Must run in `captureErrors`. */
  allocate(kind: MemoryKind, label: string, bytes: number, usage: number): GPUBuffer;
  /** Safe also while submitted work uses it: WebGPU waits. */
  free(buffer: GPUBuffer): void;
  report(): MemoryReport;
}

/** The memory of a device. */
export const deviceBuffers = (device: GPUDevice): Buffers => {
  const held = new Map<GPUBuffer, MemoryKind>();
  const byKind: Record<MemoryKind, number> = { variables: 0, constants: 0, temporaries: 0, parameters: 0, staging: 0 };
  let now = 0;
  let peak = 0;
  return {
    allocate: (kind, label, size, use) => {
      const limit = device.limits.maxBufferSize;
      if (size > limit)
        throw new PeftError(
          'out-of-memory',
          `webgpu: ${label} takes ${mebibytes(size)}, this adapter gives ${mebibytes(limit)} to one buffer; use a smaller batch or context, or the cpu executor`,
        );
      const buffer = device.createBuffer({ label, size, usage: use });
      held.set(buffer, kind);
      byKind[kind] += size;
      now += size;
      peak = Math.max(peak, now);
      return buffer;
    },
    free: (buffer) => {
      const kind = held.get(buffer);
      if (!kind) return;
      held.delete(buffer);
      byKind[kind] -= buffer.size;
      now -= buffer.size;
      buffer.destroy();
    },
    report: () => ({ now, peak, byKind: { ...byKind } }),
  };
};
