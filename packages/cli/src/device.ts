import { readdirSync } from 'node:fs';
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

/**
 * Whether a hardware GPU may be there. On Linux each shows itself as a file in `/dev`; where none does, the libraries of GPUs are not loaded, which takes its time, and which
 * would write their warnings of software drivers between our lines.
 */
const mayHaveGpu = (): boolean => {
  if (process.platform !== 'linux') return true;
  try {
    return readdirSync('/dev').some((name) => /^(dri$|nvidia|nvhost|nvgpu|dxg$|kfd$|mali|kgsl)/.test(name));
  } catch {
    return true;
  }
};

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
    : firstAvailable({ ...(mayHaveGpu() && { webgpu: () => webgpu() }), cpu: onCpu }, { device });
};
