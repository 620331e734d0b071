import {
  add,
  broadcastTo,
  compile,
  constant,
  type Executor,
  input,
  matmul,
  mul,
  softmax,
  type Tensor,
  transpose,
  variable,
} from '@peftjs/tensor';
import { afterEach, describe, expect, test } from 'vitest';
import { executorOn } from '../executor/executor.ts';
import type { HostOptions } from '../executor/host.ts';
import { type Gpu, openGpu } from './dawn.ts';

const opened: Executor[] = [];
const open = async (options: HostOptions = {}): Promise<{ gpu: Gpu; executor: Executor }> => {
  const gpu = await openGpu({ adapter: 'software' });
  const executor = executorOn(gpu, options);
  opened.push(executor);
  return { gpu, executor };
};
afterEach(async () => {
  for (const executor of opened.splice(0)) await executor.close();
});

const [rows, width] = [64, 32];
const program = () => {
  const w = variable('w', [width, width], new Float32Array(width * width).fill(0.1));
  return { w, spec: { outputs: { y: softmax(matmul(input('x', [rows, width]), w)) } } };
};
const feeds = { x: new Float32Array(rows * width).fill(1) };
const isGoneIn = (product: string) => ({
  code: 'device-lost',
  message: expect.stringMatching(
    new RegExp(`is gone.*the last it was given is a run of .*${product}.*open a new`, 's'),
  ),
});
const product = 'matmul\\(64x32 f32, 32x32 f32\\)';

/** A refusal of one buffer in particular, by a device that was made for this test. */
const refuse = ({ device }: Gpu, label: RegExp, size: number): void => {
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) =>
    createBuffer(label.test(descriptor.label ?? '') ? { ...descriptor, size } : descriptor);
};
/** More than SwiftShader has, though no more than it says it gives to one buffer. */
const noMemory = 2 ** 30;

describe('a device that is lost', () => {
  test('under a run that is waited for: the run, its kernels and shapes are named', async () => {
    const { gpu, executor } = await open();
    const { w, spec } = program();
    const executable = await compile(spec, { executor });
    const run = executable.run(feeds);
    await Promise.resolve();
    setImmediate(() => gpu.device.destroy());
    // It may have been done before.
    await run.catch((error: unknown) => expect(error).toMatchObject(isGoneIn(product)));
    await gpu.device.lost;
    await expect(executable.run(feeds)).rejects.toMatchObject(isGoneIn(product));
    await expect(executor.read(w)).rejects.toMatchObject(isGoneIn(product));
    await expect(compile(spec, { executor })).rejects.toMatchObject(isGoneIn(product));
  });

  test('under runs that keep their results', async () => {
    const { gpu, executor } = await open();
    const executable = await compile(program().spec, { executor });
    for (let i = 0; i < 3; i++) await executable.run(feeds, { keep: ['y'] });
    const kept = executable.kept();
    gpu.device.destroy();
    await expect(kept).rejects.toMatchObject(isGoneIn(product));
  });

  test('while a variable is read', async () => {
    const { gpu, executor } = await open();
    const { w, spec } = program();
    await (await compile(spec, { executor })).run(feeds);
    const create = gpu.device.createBuffer.bind(gpu.device);
    gpu.device.createBuffer = (descriptor) => {
      const buffer = create(descriptor);
      const mapAsync = buffer.mapAsync.bind(buffer);
      return Object.assign(buffer, {
        mapAsync: (...args: Parameters<typeof mapAsync>) => {
          const mapped = mapAsync(...args);
          gpu.device.destroy();
          return mapped;
        },
      });
    };
    await expect(executor.read(w)).rejects.toMatchObject(isGoneIn(product));
  });
});

describe('a device that has no more memory', () => {
  const needs = /^webgpu: the program needs .* MiB of memory, the device has less, and none for /;

  test('names the tensor that it had none for, and the plan; nothing is kept, and it goes on', async () => {
    const { executor } = await open();
    // Exactly what SwiftShader gives to one buffer, and more than it has.
    const size = noMemory / 4;
    const wide = softmax(broadcastTo(input('x', [1, 64]), [size / 64, 64]));
    await expect(compile({ outputs: { y: matmul(transpose(wide), wide) } }, { executor })).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(
        new RegExp(
          `${needs.source}(broadcast_to|softmax) 4194304x64 f32.*1,024 MiB: .*intermediate values \\(.*To make`,
          's',
        ),
      ),
    });
    expect(executor.memory().now).toBe(0);
    await expect((await compile(program().spec, { executor })).run(feeds)).resolves.toHaveProperty('y');
  });

  test('names the variable', async () => {
    const { executor } = await open();
    const wide = variable('wide', [2 ** 22, 64], () => new Float32Array(2 ** 28));
    await expect(compile({ updates: [[wide, mul(wide, 2)]] }, { executor })).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(
        new RegExp(`${needs.source}variable wide \\[4194304x64 f32\\], 1,024 MiB: 1,024 MiB of variables \\(wide`),
      ),
    });
    expect(executor.memory().now).toBe(0);
  });

  test('for the results of a run: the run fails, none is kept of it, and the executor goes on', async () => {
    const { gpu, executor } = await open();
    const executable = await compile(program().spec, { executor });
    const create = gpu.device.createBuffer;
    refuse(gpu, /results/, noMemory);
    const none = { code: 'out-of-memory', message: expect.stringMatching(/no memory for a run of .*matmul\(64x32/) };
    await expect(executable.run(feeds)).rejects.toMatchObject(none);
    await executable.run(feeds, { keep: ['y'] });
    await expect(executable.kept()).rejects.toMatchObject(none);
    expect(await executable.kept()).toEqual([]);
    gpu.device.createBuffer = create;
    await expect(executable.run(feeds)).resolves.toHaveProperty('y');
    await executable.run(feeds, { keep: ['y'] });
    expect(await executable.kept()).toHaveLength(1);
  });

  test('for reading a variable', async () => {
    const { gpu, executor } = await open();
    const { w, spec } = program();
    await (await compile(spec, { executor })).run(feeds);
    const create = gpu.device.createBuffer;
    refuse(gpu, /readback/, noMemory);
    await expect(executor.read(w)).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(/no memory for reading 32x32 f32, 0.1 MiB/),
    });
    gpu.device.createBuffer = create;
    expect((await executor.read(w))[0]).toBeCloseTo(0.1);
  });
});

describe('what validation rejects', () => {
  const chain = (x: Tensor): Tensor => softmax(matmul(add(softmax(x), 1), constant(new Float32Array(1024), [32, 32])));

  test('names the kernel whose buffers do not fit it', async () => {
    const { gpu, executor } = await open();
    const createBindGroup = gpu.device.createBindGroup.bind(gpu.device);
    gpu.device.createBindGroup = (descriptor) =>
      createBindGroup(/^matmul/.test(descriptor.label ?? '') ? { ...descriptor, entries: [] } : descriptor);
    await expect(compile({ outputs: { y: chain(input('x', [64, 32])) } }, { executor })).rejects.toMatchObject({
      code: 'device-error',
      message: expect.stringMatching(/^webgpu: the buffers of matmul\(64x32 f32, 32x32 f32\)/),
    });
    expect(executor.memory().now).toBe(0);
  });

  test('names the copy', async () => {
    const { gpu, executor } = await open();
    const [a, b] = ['a', 'b'].map((name) => variable(name, [8], new Float32Array(8)));
    const executable = await compile({ outputs: { before: a! }, updates: [[a!, b!]] }, { executor });
    const create = gpu.device.createCommandEncoder.bind(gpu.device);
    gpu.device.createCommandEncoder = () => {
      const encoder = create();
      const copy = encoder.copyBufferToBuffer.bind(encoder) as (...args: unknown[]) => undefined;
      return Object.assign(encoder, {
        // Three bytes are no whole words.
        copyBufferToBuffer: (from: GPUBuffer, at: number, to: GPUBuffer, toAt: number, bytes: number) =>
          copy(from, at, to, toAt, from.label.includes('variable b') ? 3 : bytes),
      });
    };
    await expect(executable.run()).rejects.toMatchObject({
      code: 'device-error',
      message: expect.stringMatching(/^webgpu: the copy of variable b 8 f32 to variable a 8 f32: /),
    });
    gpu.device.createCommandEncoder = create;
    await expect(executable.run()).resolves.toEqual({ before: new Float32Array(8) });
  });
});
