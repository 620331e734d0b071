import type { ChildProcess } from 'node:child_process';
import {
  adamwStep,
  add,
  broadcastTo,
  cast,
  compile,
  constant,
  type Executor,
  input,
  matmul,
  mul,
  numberToHalf,
  randomUniform,
  sum,
  type TypedArray,
  variable,
} from '@peftjs/tensor';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { cpu } from '../src/index.ts';
import { runScript } from './run-script.ts';

const hosts: ChildProcess[] = [];
vi.mock('node:child_process', async (original) => {
  const real = await original<typeof import('node:child_process')>();
  const spawn = (...args: Parameters<typeof real.spawn>): ChildProcess => {
    const host = real.spawn(...args);
    hosts.push(host);
    return host;
  };
  return { ...real, spawn };
});

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);

let executor: Executor;
beforeAll(async () => {
  executor = await cpu({ threads: 1, worker: true });
});
afterAll(() => executor.close());

/** Every dtype in and out, variables from data, functions and graphs, constants small and large, updates of both kinds. */
const everything = async (on: Executor): Promise<TypedArray[]> => {
  const half = (...values: number[]): Uint16Array => Uint16Array.from(values, numberToHalf);
  const w = variable('w', [2, 2], f32(1, 2, 3, 4));
  const stored = variable('stored', [2], half(0.5, -2), 'f16');
  const drawn = variable('drawn', [2, 2], randomUniform(7, [2, 2], 1));
  const [m, v] = [variable('m', [2, 2], () => new Float32Array(4)), variable('v', [2, 2], () => new Float32Array(4))];
  const count = variable('count', [], Int32Array.of(3), 'i32');
  const large = constant(new Float32Array(2 ** 19).fill(0.25), [2 ** 19]);
  const x = input('x', [1, 2]);
  const grad = matmul(x, add(w, drawn), { transposeA: false });
  const hyper = input('hyper', [8]);
  const [weight, first, second] = adamwStep(w, broadcastTo(grad, [2, 2]), m, v, hyper);
  const step = await compile(
    {
      outputs: {
        grad,
        half: cast(mul(cast(stored, { dtype: 'f32' }), input('h', [2])), { dtype: 'f16' }),
        bytes: input('bytes', [3], 'u8'),
        bits: input('bits', [2], 'u32'),
        count,
        total: sum(large),
        nothing: input('nothing', [0]),
      },
      updates: [
        [w, weight],
        [m, first],
        [v, second],
        [count, add(count, count)],
      ],
    },
    { executor: on },
  );
  const feeds = {
    x: f32(1, -1),
    hyper: f32(0.1, 0.9, 0.99, 1e-8, 0.01, 0.1, 0.01, 1),
    h: f32(3, 5),
    bytes: Uint8Array.of(1, 2, 255),
    bits: Uint32Array.of(0, 4e9),
    nothing: f32(),
  };
  const results: TypedArray[] = [];
  for (let i = 0; i < 3; i++) results.push(...Object.values(await step.run(feeds)));
  await on.write(stored, half(1, 1));
  for (const variable of [w, m, v, count, stored, drawn]) results.push(await on.read(variable));
  return results;
};

describe('beside the thread', () => {
  it('gives the same bits', async () => {
    const inside = await cpu({ threads: 1 });
    expect(await everything(executor)).toEqual(await everything(inside));
    expect(executor.memory()).toEqual(inside.memory());
    await inside.close();
  });

  it('leaves the arrays of the caller as they are', async () => {
    const data = f32(1, 2);
    const w = variable('w', [2], data);
    await (await compile({ updates: [[w, mul(w, 2)]] }, { executor })).run();
    expect(await executor.read(w)).toEqual(f32(2, 4));
    expect(data).toEqual(f32(1, 2));
  });

  it('names the op and its shapes when ONNX Runtime fails, and goes on', async () => {
    const endless = await cpu({ threads: 1, worker: true, memoryLimit: Number.POSITIVE_INFINITY });
    const program = await compile(
      { outputs: { y: sum(broadcastTo(input('x', [1]), [2 ** 24, 2 ** 24])) } },
      { executor: endless },
    );
    await expect(program.run({ x: f32(1) })).rejects.toMatchObject({
      code: expect.stringMatching(/out-of-memory|device-error/),
      message: expect.stringContaining('broadcast_to(1 f32) -> 16777216x16777216 f32'),
    });
    expect(
      await (await compile({ outputs: { y: mul(input('x', [1]), 2) } }, { executor: endless })).run({ x: f32(1) }),
    ).toEqual({
      y: f32(2),
    });
    await endless.close();
  });

  it('outlives a Ctrl-C, which a terminal sends to all, and ends when it is closed', async () => {
    const own = await cpu({ threads: 1, worker: true });
    const host = hosts.at(-1)!;
    host.kill('SIGINT');
    host.kill('SIGTERM');
    expect(await own.read(variable('w', [1], f32(5)))).toEqual(f32(5));
    await own.close();
    await own.close();
    await expect(own.read(variable('w', [1], f32(1)))).rejects.toMatchObject({ code: 'bad-program' });
    expect(host).toMatchObject({ exitCode: 0 });
  });

  it('is lost when its process is killed, in a run and after it', async () => {
    const own = await cpu({ threads: 1, worker: true });
    const x = input('x', [1500, 1500]);
    const program = await compile({ outputs: { y: sum(matmul(matmul(x, x), matmul(x, x))) } }, { executor: own });
    const running = program.run({ x: new Float32Array(1500 ** 2) });
    setTimeout(() => hosts.at(-1)!.kill('SIGKILL'), 100);
    const lost = { code: 'device-lost', message: expect.stringContaining('SIGKILL') };
    await expect(running).rejects.toMatchObject(lost);
    await expect(program.run({ x: new Float32Array(1500 ** 2) })).rejects.toMatchObject(lost);
    await own.close();
  });

  it('is refused as an option that is no truth value', async () => {
    await expect(cpu({ worker: 'yes' as never })).rejects.toMatchObject({ code: 'bad-option' });
  });
});

/** The start of a script whose runs take long. */
const busy = (options: string): string => `
import { cpu } from '../src/index.ts';
import { compile, input, matmul, sum } from '@peftjs/tensor';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
export const start = async () => {
  const executor = await cpu({ threads: 1, ${options} });
  const x = input('x', [1200, 1200]);
  const program = await compile({ outputs: { y: sum(matmul(matmul(x, x), matmul(x, x))) } }, { executor });
  const feeds = { x: new Float32Array(1200 ** 2).fill(1) };
  await program.run(feeds);
  return { executor, run: () => program.run(feeds) };
};
`;

/** A timer of 10 ms while long runs are done: by how many milliseconds it came late at the median, and how often it came in a run. */
const timer = async (on: Executor): Promise<{ readonly late: number; readonly ticks: number }> => {
  const x = input('x', [1000, 1000]);
  const program = await compile({ outputs: { y: sum(matmul(matmul(x, x), matmul(x, x))) } }, { executor: on });
  const feeds = { x: new Float32Array(1e6).fill(1) };
  await program.run(feeds);
  const late: number[] = [];
  let last = performance.now();
  const interval = setInterval(() => {
    const now = performance.now();
    late.push(now - last - 10);
    last = now;
  }, 10);
  for (let i = 0; i < 10; i++) await program.run(feeds);
  clearInterval(interval);
  program.close();
  return { late: late.sort((a, b) => a - b)[Math.floor(late.length / 2)]!, ticks: late.length / 10 };
};

it('leaves the event loop free while it computes', async () => {
  const inside = await cpu({ threads: 1 });
  const [beside, blocked] = [await timer(executor), await timer(inside)];
  await inside.close();
  // Medians and a quotient: other processes want the cores of a machine for tests as well.
  expect(beside.late).toBeLessThan(20);
  expect(blocked.late).toBeGreaterThan(20);
  expect(beside.ticks).toBeGreaterThan(3 * blocked.ticks);
});

describe('a process', () => {
  it('lives on when a worker thread of its is terminated while it computes', async () => {
    const script = `${busy('')}
if (isMainThread) {
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(new URL(import.meta.url));
    await new Promise((resolve) => worker.once('message', resolve));
    await new Promise((resolve) => setTimeout(resolve, 37 * (i + 1)));
    console.log(await worker.terminate());
  }
  console.log('alive');
} else {
  const { run } = await start();
  parentPort.postMessage('ready');
  while (true) await run();
}`;
    expect(await runScript(script)).toMatchObject({ code: 0, signal: null, stdout: '1\n1\n1\nalive\n', stderr: '' });
  });

  it('exits at once, in the middle of a run, with the code it wants, and takes its host along', async () => {
    const script = `${busy('worker: true')}
const { run } = await start();
void run().then(() => console.log('not interrupted'));
setTimeout(() => process.exit(42), 20);`;
    expect(await runScript(script)).toMatchObject({ code: 42, signal: null, stdout: '', stderr: '' });
  });

  it('is not kept alive by an executor that is idle', async () => {
    const script = `${busy('worker: true')}
const { run } = await start();
await run();
console.log('last line');`;
    expect(await runScript(script)).toMatchObject({ code: 0, stdout: 'last line\n', stderr: '' });
  });

  it('refuses to compute in a worker thread itself', async () => {
    const script = `${busy('worker: false')}
if (isMainThread) new Worker(new URL(import.meta.url)).on('message', console.log);
else await start().catch(({ code }) => parentPort.postMessage(code));`;
    expect(await runScript(script)).toMatchObject({ code: 0, stdout: 'bad-option\n' });
  });
});
