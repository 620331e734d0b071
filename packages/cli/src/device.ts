import { availableParallelism } from 'node:os';
import { cpu } from '@peftjs/onnx';
import { type Executor, firstAvailable, PeftError } from '@peftjs/tensor';
import { webgpu } from '@peftjs/webgpu';

/** How many threads compute, on the CPU. */
export interface DeviceOptions {
  readonly threads?: number | undefined;
  /** Whether the CPU computes in a process beside this one, which then stays free to answer. Default false. */
  readonly worker?: boolean;
}

/** Threads that may be asked for on a machine of few cores. */
const mostThreads = 64;

/** Opens the device that was asked for: any WebGPU adapter by name; else a hardware GPU if there is one, else the CPU. Throws `bad-option` for more threads than make sense. */
export const openDevice = async (
  device?: 'cpu' | 'webgpu',
  { threads, worker = false }: DeviceOptions = {},
): Promise<Executor> => {
  const most = Math.max(mostThreads, 2 * availableParallelism());
  if (threads !== undefined && threads > most)
    throw new PeftError(
      'bad-option',
      `threads is ${threads}, and this machine has ${availableParallelism()} cores; give at most ${most}, or leave it out`,
    );
  const onCpu = () => cpu({ ...(threads !== undefined && { threads }), ...(worker && { worker }) });
  return device === 'webgpu'
    ? webgpu({ adapter: 'any' })
    : firstAvailable({ webgpu: () => webgpu(), cpu: onCpu }, { device });
};
