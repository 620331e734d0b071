import { cpu } from '@peftjs/onnx';
import { type Executor, firstAvailable } from '@peftjs/tensor';
import { webgpu } from '@peftjs/webgpu';

/** Opens the device that was asked for: any WebGPU adapter by name; else a hardware GPU if there is one, else the CPU. */
export const openDevice = (device?: 'cpu' | 'webgpu'): Promise<Executor> =>
  device === 'webgpu'
    ? webgpu({ adapter: 'any' })
    : firstAvailable({ webgpu: () => webgpu(), cpu: () => cpu() }, { device });
