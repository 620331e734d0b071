import type { Executor } from '@peftjs/tensor';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from '../executor/executor.ts';
import type { HostOptions } from '../executor/host.ts';

/** WebGPU in software, as if it had less: of memory, or of bytes that a kernel may bind. */
export const limitedGpu = async (limits: HostOptions): Promise<Executor> =>
  executorOn(await openGpu({ adapter: 'software' }), limits);
