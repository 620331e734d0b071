import { cpu } from '@peftjs/onnx';
import { type Executor, reference } from '@peftjs/tensor';
import { webgpu } from '@peftjs/webgpu';
import { afterAll } from 'vitest';

/** The executors that must agree with the definition. WebGPU takes whatever adapter there is: the tests bring a software one. */
const candidates: Readonly<Record<string, () => Promise<Executor>>> = {
  reference: async () => reference(),
  cpu: () => cpu({ threads: 1 }),
  webgpu: () => webgpu({ adapter: 'any' }),
};

/** Name, a function that opens the executor once for the file, and one that opens another, which the caller closes. */
export const executors: readonly (readonly [
  name: string,
  open: () => Promise<Executor>,
  another: () => Promise<Executor>,
])[] = Object.entries(candidates).map(([name, another]) => {
  let opened: Promise<Executor> | undefined;
  afterAll(async () => (await opened)?.close());
  return [name, () => (opened ??= another()), another] as const;
});

/** How far f32 may lie from double precision after a whole forward or backward pass, relative to values above 1. */
export const tolerance = 2e-4;
