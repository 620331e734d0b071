import {
  adamwStep,
  add,
  addSquares,
  broadcastTo,
  cast,
  compile,
  constant,
  type Executor,
  gather,
  input,
  matmul,
  matmulQuantized,
  max,
  mean,
  mul,
  normalValues,
  numberToHalf,
  type Plan,
  randomSource,
  reference,
  reshape,
  type Shape,
  scatterAdd,
  silu,
  sizeOf,
  softmax,
  sum,
  type Tensor,
  type TypedArray,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import { startOnEach } from '@peftjs/tensor/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from './executor.ts';

const maxBindingBytes = 2 ** 20;
let executor: Executor;
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }), { poison: true, maxBindingBytes });
});
afterAll(() => executor.close());

const values = (name: string, shape: Shape): Float32Array => normalValues(sizeOf(shape), 0.3, randomSource(1, name));
const weight = (name: string, ...shape: number[]): Tensor => variable(name, shape, values(name, shape));

const largest = (data: TypedArray): number => Float64Array.from(data).reduce((x, y) => Math.max(x, Math.abs(y)), 1);

const check = async (outputs: Readonly<Record<string, Tensor>>, feeds = {}): Promise<number> => {
  const executable = await compile({ outputs }, { executor });
  const [got, want] = [
    await executable.run(feeds),
    await (await compile({ outputs }, { executor: reference() })).run(feeds),
  ];
  for (const name of Object.keys(outputs)) {
    const scale = largest(want[name]!);
    want[name]!.forEach((w, i) => {
      if (!(Math.abs(got[name]![i]! - w) < 5e-5 * scale)) expect.fail(`${name}[${i}]: ${got[name]![i]}, not ${w}`);
    });
  }
  executable.close();
  return executable.plan.dispatches;
};

describe('a weight larger than a kernel may bind', () => {
  // 1.6 MiB: two parts.
  const [rows, width] = [4100, 100];
  const w = weight('w', rows, width);

  test('is read in parts by products where it is f16', async () => {
    // 1.6 MiB: two parts.
    const half = variable('half', [8200, 100], Uint16Array.from(values('half', [8200, 100]), numberToHalf), 'f16');
    const feeds = { x: values('x', [3, 100]), y: values('y', [3, 8200]) };
    const [x, y] = [input('x', [3, 100]), input('y', [3, 8200])];
    await check({ forth: matmul(x, half, { transposeB: true }), back: matmul(y, half) }, feeds);
  });

  test('is read in parts by products, either way round, with what joins them', async () => {
    const x = input('x', [3, width]);
    const y = input('y', [3, rows]);
    const feeds = { x: values('x', [3, width]), y: values('y', [3, rows]) };
    const made = {
      up: add(silu(matmul(x, w, { transposeB: true })), y),
      down: add(matmul(y, w), x),
    };
    expect(await check(made, feeds)).toBe(2 + 3);
  });

  test('is looked up in parts', async () => {
    const index = Int32Array.of(0, 4099, 2600, 2559, 2560, -1, 4100, 77);
    expect(await check({ y: gather(w, input('index', [8], 'i32')) }, { index })).toBe(2);
  });

  test('makes a loss and its gradient', async () => {
    const hidden = input('hidden', [5, width]);
    const [loss, dHidden] = ops.head_cross_entropy(hidden, w, input('labels', [5], 'i32'), null, {
      ignoreIndex: -100,
      chunk: 1024,
    });
    const labels = Int32Array.of(4, -100, 4099, 2560, 0);
    await check({ loss, dHidden }, { hidden: values('hidden', [5, width]), labels });
  });

  test('that a kernel needs as a whole is refused, by name', async () => {
    await expect(compile({ outputs: { y: softmax(w) } }, { executor })).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(
        /softmax\(4100x100 f32\) reads variable w 4100x100 f32, 1.6 MiB, as a whole.* 1 MiB/,
      ),
    });
  });
});

test('logits are made in chunks that can be bound', async () => {
  const [rows, vocabulary] = [500, 1000];
  const [loss] = ops.head_cross_entropy(
    input('hidden', [rows, 4]),
    weight('head', vocabulary, 4),
    input('labels', [rows], 'i32'),
    null,
    { ignoreIndex: -100, chunk: 1024 },
  );
  const labels = Int32Array.from({ length: rows }, (_, i) => (i * 31) % vocabulary);
  await check({ loss }, { hidden: values('hidden', [rows, 4]), labels });
});

/** Compares what updates leave in variables, too. */
const checkUpdates = async (
  updates: readonly (readonly [Variable, Tensor])[],
  outputs: Readonly<Record<string, Tensor>>,
  feeds = {},
): Promise<Plan> => {
  const definition = reference();
  await startOnEach(
    [executor, definition],
    updates.map(([v]) => v),
  );
  const [got, want] = [executor, definition].map((e) => compile({ outputs, updates }, { executor: e }));
  const plans = [await got!, await want!];
  const [results, wanted] = [await plans[0]!.run(feeds), await plans[1]!.run(feeds)];
  const near = (name: string, a: TypedArray, b: TypedArray): void => {
    const scale = largest(b);
    b.forEach((w, i) => {
      if (!(Math.abs(a[i]! - w) < 5e-5 * scale)) expect.fail(`${name}[${i}]: ${a[i]}, not ${w}`);
    });
  };
  for (const name of Object.keys(outputs)) near(name, results[name]!, wanted[name]!);
  for (const [v] of updates) near(v.node.name, await executor.read(v), await definition.read(v));
  plans[0]!.close();
  executor.release(updates.map(([v]) => v));
  return plans[0]!.plan;
};

describe('a weight that is trained', () => {
  // 1.6 MiB each: two parts. Widths are odd, so that parts begin within rows of other buffers.
  const [rows, width] = [4099, 101];
  const owned = (name: string): Variable => variable(name, [rows, width], values(name, [rows, width]));
  const positive = (name: string): Variable => variable(name, [rows, width], values(name, [rows, width]).map(Math.abs));
  const hyper = constant(Float32Array.of(0.01, 0.9, 0.99, 1e-8, 0.1, 0.5, 0.5, 0.7), [8]);

  test('is stepped by AdamW in parts, in place, and so is the sum of its squares', async () => {
    const [w, m, v] = [owned('w'), owned('m'), positive('v')];
    const gradient = mul(w, 2);
    const [w1, m1, v1] = adamwStep(w, gradient, m, v, hyper);
    const plan = await checkUpdates(
      [
        [w, w1],
        [m, m1],
        [v, v1],
      ],
      { norm: addSquares(constant(Float32Array.of(3), []), gradient) },
    );
    // Two parts of the gradient, of the sum, which is then joined, and of the step.
    expect(plan.dispatches).toBe(2 + 3 + 2);
    // Three variables and the gradient.
    expect(plan.peakBytes).toBeLessThan(4.1 * 4 * rows * width);
  });

  test('of a head tied to the embedding: gradients of both ends, their sum, the norm and the step', async () => {
    const [w, m, v] = [owned('w'), owned('m'), positive('v')];
    const index = input('index', [40], 'i32');
    const hidden = mul(gather(w, index), 0.5);
    const [loss, dHidden, dWeight] = ops.head_cross_entropy(hidden, w, input('labels', [40], 'i32'), null, {
      ignoreIndex: -100,
      chunk: 16,
    });
    const gradient = add(mul(loss, dWeight), scatterAdd(dHidden, index, { rows }));
    const [w1, m1, v1] = adamwStep(w, mul(gradient, 100), m, v, hyper);
    const feeds = {
      index: Int32Array.from({ length: 40 }, (_, i) => (i * 1171) % rows),
      labels: Int32Array.from({ length: 40 }, (_, i) => (i % 5 === 0 ? -100 : (i * 797) % rows)),
    };
    await checkUpdates(
      [
        [w, w1],
        [m, m1],
        [v, v1],
      ],
      { loss, norm: addSquares(constant(Float32Array.of(0), []), gradient) },
      feeds,
    );
  });

  test('of a product: its gradient is made in parts of its rows, either way round', async () => {
    const [tall, wide] = [130, 3001];
    const [x, y, a, b] = [input('x', [7, width]), input('y', [7, rows]), input('a', [7, tall]), input('b', [7, wide])];
    const [w, u] = [owned('w'), variable('u', [tall, wide], values('u', [tall, wide]))];
    await checkUpdates(
      [
        [w, add(w, matmul(y, x, { transposeA: true }))],
        [u, add(u, matmul(a, b, { transposeA: true }))],
      ],
      {},
      {
        x: values('x', [7, width]),
        y: values('y', [7, rows]),
        a: values('a', [7, tall]),
        b: values('b', [7, wide]),
      },
    );
  });
});

describe('elementwise ops on more than a kernel may bind', () => {
  const [rows, width] = [2051, 257];
  const shape = [rows, width];

  test('read what is broadcast where it belongs, the same tensor both ways, and halves', async () => {
    const w = weight('w', ...shape);
    const [row, column] = [weight('row', width), weight('column', rows, 1)];
    const half = variable(
      'half',
      shape,
      Uint16Array.from({ length: rows * width }, (_, i) => 0x3800 + (i % 1024)),
      'f16',
    );
    const square = weight('square', 600, 600);
    await check({
      joined: add(mul(add(w, row), column), mul(cast(half, { dtype: 'f32' }), 3)),
      halves: cast(mul(cast(half, { dtype: 'f32' }), row), { dtype: 'f16' }),
      filled: add(broadcastTo(row, shape), 1),
      // Read at its own positions, and at others.
      both: add(square, reshape(mul(broadcastTo(reshape(square, [600, 1, 600]), [600, 1, 600]), 2), [600, 600])),
    });
  });
});

test('reductions of more than a kernel may bind: of all, of rows, of columns', async () => {
  const [rows, width] = [1031, 259];
  const w = weight('w', rows, width);
  const wide = weight('wide', 1, 3000, 101);
  await check({
    all: sum(w),
    rows: add(sum(w, { axes: [1] }), 1),
    columns: mul(sum(w, { axes: [0], keepDims: true }), 2),
    mean: mean(w, { axes: [0] }),
    most: max(w),
    wide: mean(wide, { axes: [0, 2] }),
    inner: sum(wide, { axes: [1] }),
  });
});

describe('a packed matrix larger than a kernel may bind', () => {
  const [rows, width] = [9001, 300];
  test.each([
    ['int8', 100, false, 'f32'],
    ['nf4', 20, false, 'f32'],
    ['nf4', 20, true, 'f32'],
    ['sint8', width, false, 'int8'],
  ] as const)('%s in blocks of %i, packed scales: %s, products in %s', async (format, block, isDouble, compute) => {
    const attrs = { format, inDim: width, block, ...(compute === 'int8' && { compute }) };
    const blocks = Math.ceil(width / block);
    const bytes = (blocks * block * (format === 'nf4' ? 4 : 8)) / 8;
    const byte = (name: string, shape: number[]): Tensor =>
      variable(
        name,
        shape,
        Uint8Array.from({ length: sizeOf(shape) }, (_, i) => (i * 97 + (i >> 8)) % 256),
        'u8',
      );
    const codes = byte('codes', [rows, bytes]);
    const scale = weight('scale', ...(isDouble ? [Math.ceil((rows * blocks) / 256)] : [rows, blocks]));
    const more: readonly [Tensor | null, Tensor | null] = isDouble
      ? [byte('scaleCodes', [rows, blocks]), constant(Float32Array.of(0.1), [])]
      : [null, null];
    const [x, y] = [input('x', [3, width]), input('y', [3, rows])];
    const feeds = { x: values('x', [3, width]), y: values('y', [3, rows]) };
    const up = matmulQuantized(x, codes, scale, ...more, null, null, null, attrs);
    const down = matmulQuantized(y, codes, scale, ...more, null, null, null, { ...attrs, transposed: true });
    await check({ up: add(up, y), down: silu(down) }, feeds);
  });
});

test('many small weights that are stepped as one are more together', async () => {
  const shape = [400, 320];
  const all = ['a', 'b', 'c', 'd', 'e'].map((name) =>
    ['', '.m', '.v'].map((part) => variable(name + part, shape, values(name + part, shape).map(Math.abs))),
  ) as [Variable, Variable, Variable][];
  const hyper = constant(Float32Array.of(0.01, 0.9, 0.99, 1e-8, 0.1, 0.5, 0.5, 0.7), [8]);
  const gradients = all.map(([w]) => softmax(w));
  const norm = gradients.reduce((total, g) => addSquares(total, g), constant(Float32Array.of(0), []));
  const updates = all.flatMap(([w, m, v], i) => {
    const [w1, m1, v1] = adamwStep(w, gradients[i]!, m, v, hyper);
    return [[w, w1] as const, [m, m1] as const, [v, v1] as const];
  });
  const plan = await checkUpdates(updates, { norm });
  // Five gradients; three parts of their squares, joined; three of the step.
  expect(plan.dispatches).toBe(5 + 4 + 3);
});
