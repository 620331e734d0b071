import { cpu } from '@peftjs/onnx';
import { type Executor, reference } from '@peftjs/tensor';
import { webgpu } from '@peftjs/webgpu';
import { afterAll } from 'vitest';

const candidates: Readonly<Record<string, () => Promise<Executor>>> = {
  reference: async () => reference(),
  cpu: () => cpu({ threads: 1 }),
  webgpu: () => webgpu({ adapter: 'any' }),
};

/** Name, and a function that opens the executor once for the file. */
export const executors: readonly (readonly [name: string, open: () => Promise<Executor>])[] = Object.entries(
  candidates,
).map(([name, open]) => {
  let opened: Promise<Executor> | undefined;
  afterAll(async () => (await opened)?.close());
  return [name, () => (opened ??= open())] as const;
});
