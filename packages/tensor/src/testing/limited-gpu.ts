import type { Executor } from '../executor.ts';
import { openGpu } from '../webgpu/dawn.ts';
import { executorOn } from '../webgpu/executor.ts';
import type { HostOptions } from '../webgpu/host.ts';

/** WebGPU in software, as if it had less: of memory, or of bytes that a kernel may bind. */
export const limitedGpu = async (limits: HostOptions): Promise<Executor> =>
  executorOn(await openGpu({ adapter: 'software' }), limits);
