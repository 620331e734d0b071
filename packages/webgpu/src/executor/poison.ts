import { type Buffers, tensorUsage } from './buffers.ts';
import type { BoundCommand } from './encode.ts';

/** Fills planned memory with what no kernel should ever read, for tests of the plan. */
export interface Poison {
  /** The command that fills a planned buffer. */
  fill(buffer: GPUBuffer): BoundCommand;
  close(): void;
}

/** Bits that are NaN in f32 and f16, −1 in i32 and the largest u32. */
const bits = 0xff;

/** Poison for buffers of up to `bytes`. */
export const makePoison = (device: GPUDevice, buffers: Buffers, bytes: number): Poison => {
  const source = buffers.allocate('staging', 'poison', bytes, tensorUsage);
  device.queue.writeBuffer(source, 0, new Uint8Array(bytes).fill(bits));
  return {
    fill: (buffer) => ({
      kind: 'copy',
      label: 'poison',
      from: { buffer: source, offset: 0 },
      to: { buffer, offset: 0 },
      bytes: buffer.size,
    }),
    close: () => buffers.free(source),
  };
};
