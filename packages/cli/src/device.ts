import { cpu } from '@peftjs/onnx';
import { type Executor, firstAvailable } from '@peftjs/tensor';
import { webgpu } from '@peftjs/webgpu';

/** How many threads compute, on the CPU. */
export interface DeviceOptions {
  readonly threads?: number | undefined;
  /** Whether the CPU computes in a process beside this one, which then stays free to answer. Default false. */
  readonly worker?: boolean;
}

/** Opens the device that was asked for: any WebGPU adapter by name; else a hardware GPU if there is one, else the CPU. */
export const openDevice = (
  device?: 'cpu' | 'webgpu',
  { threads, worker = false }: DeviceOptions = {},
): Promise<Executor> => {
  const onCpu = () => cpu({ ...(threads !== undefined && { threads }), ...(worker && { worker }) });
  return device === 'webgpu'
    ? webgpu({ adapter: 'any' })
    : firstAvailable({ webgpu: () => webgpu(), cpu: onCpu }, { device });
};
