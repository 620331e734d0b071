import { cpu } from '@peftjs/onnx';
import type { Executor } from '@peftjs/tensor';
import { webgpu } from '@peftjs/webgpu';
import { afterAll } from 'vitest';

/** The executors that must agree with `reference`. WebGPU takes whatever adapter there is: the tests bring a software one. */
const candidates: Readonly<Record<string, () => Promise<Executor>>> = {
  cpu: () => cpu({ threads: 1 }),
  webgpu: () => webgpu({ adapter: 'any' }),
};

const opened = new Map<string, Promise<Executor>>();

const opening = (name: string, open: () => Promise<Executor>): Promise<Executor> =>
  opened.get(name) ?? opened.set(name, open()).get(name)!;

let closing = false;

/** By name, what gives each executor, opened once for the test file that asks; they are closed when its tests are over. */
export const openExecutors = (): ReadonlyMap<string, () => Promise<Executor>> => {
  if (!closing)
    afterAll(async () => {
      for (const executor of opened.values()) await (await executor).close();
      opened.clear();
    });
  closing = true;
  return new Map(Object.entries(candidates).map(([name, open]) => [name, () => opening(name, open)]));
};
