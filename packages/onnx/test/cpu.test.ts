import { grad } from '@peftjs/autograd';
import {
  add,
  broadcastTo,
  buildProgram,
  cast,
  compile,
  constant,
  type Executor,
  halfToNumber,
  headCrossEntropy,
  input,
  matmul,
  mul,
  numberToHalf,
  randomUniform,
  reference,
  reshape,
  scatterAdd,
  sum,
  type Tensor,
  variable,
} from '@peftjs/tensor';
import { flopsOf } from '@peftjs/tensor/executor';
import { defineOp } from '@peftjs/tensor/op';
import { mustMatch, tolerances } from '@peftjs/tensor/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cpu } from '../src/index.ts';

let executor: Executor;
beforeEach(async () => {
  executor = await cpu({ threads: 1 });
});
afterEach(() => executor.close());

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);

describe('variables', () => {
  it('take their new values together, all made from the old ones', async () => {
    const [a, b] = [variable('a', [2], f32(1, 2)), variable('b', [2], f32(3, 4))];
    const step = await compile(
      {
        outputs: { sum: add(a, b) },
        updates: [
          [a, b],
          [b, add(a, b)],
        ],
      },
      { executor },
    );
    expect(await step.run()).toEqual({ sum: f32(4, 6) });
    expect([await executor.read(a), await executor.read(b)]).toEqual([f32(3, 4), f32(4, 6)]);
    expect(await step.run()).toEqual({ sum: f32(7, 10) });
    expect([await executor.read(a), await executor.read(b)]).toEqual([f32(4, 6), f32(7, 10)]);
  });

  it('are shared by programs and leave the initial array alone', async () => {
    const initial = f32(1, 2);
    const w = variable('w', [2], initial);
    const grow = await compile({ updates: [[w, mul(w, 2)]] }, { executor });
    const look = await compile({ outputs: { w, sum: sum(w) } }, { executor });
    for (let i = 0; i < 3; i++) await grow.run();
    expect(await look.run()).toEqual({ w: f32(8, 16), sum: f32(24) });
    expect(initial).toEqual(f32(1, 2));
  });

  it('are read as copies', async () => {
    const w = variable('w', [2], f32(1, 2));
    (await executor.read(w)).fill(9);
    expect(await executor.read(w)).toEqual(f32(1, 2));
  });

  it('are written and released', async () => {
    const w = variable('w', [2], () => f32(1, 2));
    const look = await compile({ outputs: { y: mul(w, 10) } }, { executor });
    const data = f32(5, 6);
    await executor.write(w, data);
    data.fill(0);
    expect(await look.run()).toEqual({ y: f32(50, 60) });
    executor.release([w]);
    expect(await look.run()).toEqual({ y: f32(10, 20) });
    await expect(executor.write(w, f32(1))).rejects.toMatchObject({ code: 'bad-feed' });
  });

  it('with a graph as initialiser are made once, together', async () => {
    let calls = 0;
    const base = variable('base', [3], () => {
      calls++;
      return f32(1, 2, 3);
    });
    const [a, b] = [variable('a', [3], mul(base, 2)), variable('b', [4], randomUniform(5, [4], 1))];
    const look = await compile({ outputs: { a, b } }, { executor });
    const first = await look.run();
    expect(first['a']).toEqual(f32(2, 4, 6));
    expect(await look.run()).toEqual(first);
    expect(await executor.read(b)).toEqual(await reference().read(b));
    expect(calls).toBe(1);
  });

  it('in f16 keep their bits', async () => {
    const bits = Uint16Array.from([1, -2.5, 65504, 6e-8], numberToHalf);
    const w = variable('w', [4], bits, 'f16');
    const look = await compile({ outputs: { wide: cast(w, { dtype: 'f32' }), w } }, { executor });
    const { wide, w: out } = await look.run();
    expect(out).toEqual(bits);
    expect(wide!.slice(0, 3)).toEqual(f32(1, -2.5, 65504));
    expect(await executor.read(w)).toEqual(bits);
  });

  it.each([16_384, 16_411])(
    'in f16 of %i rows are widened in blocks: products and a head over them are those of f32',
    async (rows) => {
      const wave = (size: number, by: number): Float32Array =>
        Float32Array.from({ length: size }, (_, i) => Math.sin(i * by));
      const bits = Uint16Array.from(wave(rows * 129, 0.37), numberToHalf);
      const half = variable('half', [rows, 129], bits, 'f16');
      const whole = variable('whole', [rows, 129], Float32Array.from(bits, halfToNumber));
      const [x, dy] = [constant(wave(2 * 129, 0.7), [2, 129]), constant(wave(2 * rows, 0.3), [2, rows])];
      const labels = constant(Int32Array.of(5, rows - 1), [2]);
      const of = (w: Tensor) => {
        const loss = headCrossEntropy(x, w, labels);
        return { y: matmul(x, w, { transposeB: true }), back: matmul(dy, w), loss, dx: grad(loss, [x])[0]! };
      };
      const look = async (w: Tensor) => {
        const executable = await compile({ outputs: of(w) }, { executor });
        return { values: await executable.run(), peak: executable.plan.peakBytes };
      };
      const [made, wanted] = [await look(half), await look(whole)];
      for (const [name, values] of Object.entries(wanted.values))
        mustMatch(name, { dtype: 'f32', shape: [values.length] }, made.values[name]!, values, tolerances.pass);
      // Half of the bytes, and one block of rows in f32.
      expect(made.peak).toBeLessThan(wanted.peak - rows * 129 * 2 + 2 * 2 ** 23);
    },
  );

  it('in f16 take two bytes, and updates and writes rounded', async () => {
    const bits = (...values: readonly number[]): Uint16Array => Uint16Array.from(values, numberToHalf);
    // One of its own: in the shared one the values of other tests go when the collector comes.
    const executor = await cpu({ threads: 1 });
    const w = variable('w', [2], bits(1, 3), 'f16');
    const next = cast(mul(cast(w, { dtype: 'f32' }), 1.0004), { dtype: 'f16' });
    const step = await compile({ outputs: { w }, updates: [[w, next]] }, { executor });
    await step.run();
    expect(await executor.read(w)).toEqual(bits(1, 3 * 1.0004));
    expect((await step.run())['w']).toEqual(bits(1, 3 * 1.0004));
    expect(executor.memory().byKind.variables).toBeLessThanOrEqual(8);
    await executor.write(w, bits(5, -6));
    expect((await step.run())['w']).toEqual(bits(5, -6));
    executor.release([w]);
    expect(executor.memory().byKind.variables).toBe(0);
    await executor.close();
  });
});

describe('runs', () => {
  it('of one executor follow each other', async () => {
    const count = variable('count', [], f32(0));
    const step = await compile({ outputs: { count }, updates: [[count, add(count, 1)]] }, { executor });
    const results = await Promise.all(Array.from({ length: 5 }, () => step.run()));
    expect(results.map((r) => r['count']![0])).toEqual([0, 1, 2, 3, 4]);
  });

  it('bring back what is asked for', async () => {
    const x = input('x', [2]);
    const program = await compile({ outputs: { double: mul(x, 2), x, same: mul(x, 2) } }, { executor });
    const feeds = { x: f32(1, 2) };
    expect(await program.run(feeds)).toEqual({ double: f32(2, 4), x: f32(1, 2), same: f32(2, 4) });
    expect(await program.run(feeds, { read: ['double'] })).toEqual({ double: f32(2, 4) });
    expect(await program.run(feeds, { read: [] })).toEqual({});
    await expect(program.run(feeds, { read: ['triple'] })).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('double'),
    });
  });

  it('take empty tensors in, through and out', async () => {
    const x = input('x', [0, 3]);
    const cache = variable('cache', [0], f32());
    const program = await compile(
      { outputs: { x, y: mul(x, 2), sum: sum(x), product: matmul(reshape(x, [3, 0]), x) }, updates: [[cache, cache]] },
      { executor },
    );
    expect(await program.run({ x: f32() })).toEqual({ x: f32(), y: f32(), sum: f32(0), product: new Float32Array(9) });
    expect(await executor.read(cache)).toEqual(f32());
  });

  it('check what they are fed', async () => {
    const program = await compile({ outputs: { y: mul(input('x', [2]), 2) } }, { executor });
    await expect(program.run({})).rejects.toMatchObject({
      code: 'bad-feed',
      message: expect.stringContaining('x is missing'),
    });
    await expect(program.run({ x: Int32Array.of(1, 2) })).rejects.toMatchObject({ code: 'bad-feed' });
  });

  it('feed large constants, f16 ones too', async () => {
    const ones = constant(new Uint16Array(2 ** 20).fill(numberToHalf(1)), [2 ** 20], 'f16');
    const program = await compile({ outputs: { sum: sum(cast(ones, { dtype: 'f32' })) } }, { executor });
    expect(await program.run()).toEqual({ sum: f32(2 ** 20) });
  });
});

describe('several threads', () => {
  it('add scattered rows, all of them and alike at every run', async () => {
    const [count, width, rows] = [20_000, 16, 3];
    const values = Float32Array.from({ length: count * width }, (_, i) => Math.sin(i));
    const index = Int32Array.from({ length: count }, (_, i) => (i * 7) % rows);
    const sums = new Float32Array(rows * width);
    values.forEach((v, i) => (sums[index[Math.floor(i / width)]! * width + (i % width)]! += v));
    const threaded = await cpu({ threads: 4 });
    const y = scatterAdd(input('values', [count, width]), input('index', [count], 'i32'), { rows });
    const program = await compile({ outputs: { y } }, { executor: threaded });
    const first = await program.run({ values, index });
    mustMatch('y', y, first['y']!, sums);
    for (let i = 0; i < 10; i++) expect(await program.run({ values, index })).toEqual(first);
    await threaded.close();
  });
});

describe('plans and errors', () => {
  it('plans before the first run', async () => {
    const x = input('x', [64, 64]);
    const spec = { outputs: { y: matmul(matmul(x, variable('w', [64, 64], new Float32Array(4096))), x) } };
    const { plan } = await compile(spec, { executor });
    expect(plan.flops).toBe(flopsOf(buildProgram(spec)));
    expect(plan.dispatches).toBe(2);
    expect(plan.peakBytes).toBe((2 + 2) * 64 * 64 * 4);
  });

  it('counts memory held', async () => {
    const w = variable('w', [1024], new Float32Array(1024));
    await (await compile({ updates: [[w, add(w, 1)]] }, { executor })).run();
    const { now, peak } = executor.memory();
    expect(now).toBeGreaterThanOrEqual(4096);
    expect(peak).toBeGreaterThanOrEqual(now);
    executor.release([w]);
    expect(executor.memory().now).toBeLessThan(now);
  });

  it('refuses an op that it does not know', async () => {
    const cube = defineOp({
      name: 'cube',
      inputs: ['x'],
      infer: ({ x }) => x,
      vjp: 'none',
      reference: ({ x }) => x.map((v) => v ** 3),
      samples: [],
    });
    await expect(compile({ outputs: { y: cube(input('x', [2])) } }, { executor })).rejects.toMatchObject({
      code: 'bad-program',
      message: expect.stringContaining('cube'),
    });
  });

  it('names the op and its shapes when ONNX Runtime fails', async () => {
    const endless = await cpu({ threads: 1, memoryLimit: Number.POSITIVE_INFINITY });
    const program = await compile(
      { outputs: { y: sum(broadcastTo(input('x', [1]), [2 ** 24, 2 ** 24])) } },
      { executor: endless },
    );
    await expect(program.run({ x: f32(1) })).rejects.toMatchObject({
      code: expect.stringMatching(/out-of-memory|device-error/),
      message: expect.stringContaining('broadcast_to(1 f32) -> 16777216x16777216 f32'),
    });
    await endless.close();
  });

  it('is of no use once closed', async () => {
    const program = await compile({ outputs: { y: mul(input('x', [1]), 2) } }, { executor });
    program.close();
    program.close();
    await expect(program.run({ x: f32(1) })).rejects.toMatchObject({ code: 'bad-program' });
    await executor.close();
    await expect(executor.compile(buildProgram({ outputs: { y: input('x', [1]) } }))).rejects.toMatchObject({
      code: 'bad-program',
      message: 'cpu: the executor is closed; make a new one',
    });
  });

  it('refuses a number of threads that is none', async () => {
    await expect(cpu({ threads: 0 })).rejects.toMatchObject({ code: 'bad-option' });
  });
});
