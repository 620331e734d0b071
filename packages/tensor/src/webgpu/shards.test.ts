import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compile, type Executor } from '../executor.ts';
import { input, type Tensor, variable } from '../graph.ts';
import { add } from '../ops/add.ts';
import { gather } from '../ops/gather.ts';
import { headCrossEntropyOp } from '../ops/head-cross-entropy.ts';
import { matmul } from '../ops/matmul.ts';
import { silu } from '../ops/silu.ts';
import { softmax } from '../ops/softmax.ts';
import { normalValues, randomSource } from '../random-source.ts';
import { reference } from '../reference/executor.ts';
import { type Shape, sizeOf } from '../shape.ts';
import { openGpu } from './dawn.ts';
import { executorOn } from './executor.ts';

const maxBindingBytes = 2 ** 20;
let executor: Executor;
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }), { poison: true, maxBindingBytes });
});
afterAll(() => executor.close());

const values = (name: string, shape: Shape): Float32Array => normalValues(sizeOf(shape), 0.3, randomSource(1, name));
const weight = (name: string, ...shape: number[]): Tensor => variable(name, shape, values(name, shape));

const check = async (outputs: Readonly<Record<string, Tensor>>, feeds = {}): Promise<number> => {
  const executable = await compile({ outputs }, executor);
  const [got, want] = [await executable.run(feeds), await (await compile({ outputs }, reference())).run(feeds)];
  for (const name of Object.keys(outputs)) {
    const scale = Math.max(1, ...want[name]!.map(Math.abs));
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
    const [loss, dHidden] = headCrossEntropyOp(hidden, w, input('labels', [5], 'i32'), {
      ignoreIndex: -100,
      chunk: 1024,
    });
    const labels = Int32Array.of(4, -100, 4099, 2560, 0);
    await check({ loss, dHidden }, { hidden: values('hidden', [5, width]), labels });
  });

  test('that a kernel needs as a whole is refused, by name', async () => {
    await expect(compile({ outputs: { y: softmax(w) } }, executor)).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(
        /softmax\(4100x100 f32\) reads variable w 4100x100 f32, 1.6 MiB, as a whole.* 1 MiB/,
      ),
    });
  });
});

test('logits are made in chunks that can be bound', async () => {
  const [rows, vocabulary] = [500, 1000];
  const [loss] = headCrossEntropyOp(
    input('hidden', [rows, 4]),
    weight('head', vocabulary, 4),
    input('labels', [rows], 'i32'),
    { ignoreIndex: -100, chunk: 1024 },
  );
  const labels = Int32Array.from({ length: rows }, (_, i) => (i * 31) % vocabulary);
  await check({ loss }, { hidden: values('hidden', [rows, 4]), labels });
});
