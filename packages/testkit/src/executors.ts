import { cpu } from '@peftjs/onnx';
import { type Executor, webgpu } from '@peftjs/tensor';

/** The executors that must agree with `reference`. WebGPU takes whatever adapter there is: the tests bring a software one. */
export const executors: Readonly<Record<'cpu' | 'webgpu', () => Promise<Executor>>> = {
  cpu: () => cpu({ threads: 1 }),
  webgpu: () => webgpu({ adapter: 'any' }),
};
