import {
  compile,
  type Executor,
  input,
  matmul,
  matmulQuantized,
  mul,
  normalValues,
  numberToHalf,
  randomSource,
  reference,
  sum,
  type Tensor,
  type TypedArray,
  variable,
} from '@peftjs/tensor';
import { defineOp } from '@peftjs/tensor/op';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from '../executor/executor.ts';
import type { Dispatch } from '../kernel.ts';
import { withKernel } from '../kernel-of.ts';
import { frozenPlan } from './matmul-frozen.ts';
import { mostWholeDepth } from './matmul-whole.ts';

const values = (name: string, size: number, scale = 1): Float32Array =>
  normalValues(size, scale, randomSource(5, name));

/** [tokens, inDim] by [outDim, inDim]: what tiles of f16 take, beyond the edge of one. */
const [tokens, inDim, outDim] = [40, 72, 68];

/** Weights as f16 keeps them; `largest` takes the place of one. */
const halfWeight = (largest?: number): Tensor => {
  const all = values('w', outDim * inDim, 0.05);
  if (largest !== undefined) all[3 * inDim + 5] = largest;
  return variable('w', [outDim, inDim], Uint16Array.from(all, numberToHalf), 'f16');
};

/** Rows of sizes from 10⁻²⁰ to 10²⁰, each with a value that is a thousand times the others. */
const rowsOfAllSizes = (name: string, width: number): Float32Array =>
  values(name, tokens * width).map((v, i) => v * 10 ** (Math.floor(i / width) - 20) * (i % width === 7 ? 1000 : 1));

const run = async (
  outputs: Readonly<Record<string, Tensor>>,
  executor: Executor,
  feeds: Record<string, Float32Array>,
) => (await compile({ outputs }, { executor })).run(feeds);

/** The largest difference of each row, as a part of the row's largest value; the worst of them. */
const worstRow = (got: TypedArray, wanted: TypedArray, width: number): number => {
  let worst = 0;
  for (let from = 0; from < got.length; from += width) {
    const row = Array.from(wanted.slice(from, from + width));
    const most = Math.max(...row.map(Math.abs));
    for (const [i, w] of row.entries()) worst = Math.max(worst, Math.abs(got[from + i]! - w) / most);
  }
  return worst;
};

/** The part of a row's largest value that runs of four products in f16 may be off. */
const near = 2e-3;

/**
 * The op of a product by a frozen matrix whose kernel is that of a GPU with f16, its text changed by `text`.
 */
const frozenProduct = (text: (wgsl: string) => string) =>
  withKernel(
    defineOp({
      name: 'frozen_product',
      inputs: ['x', 'w'],
      infer: ({ x, w }) => ({ shape: [x.shape[0]!, w.shape[0]!], dtype: 'f32' as const }),
      vjp: 'none',
      reference: ({ x, w }, { x: { shape } }) => {
        const [m, k] = shape as [number, number];
        const n = w.length / k;
        return Float64Array.from({ length: m * n }, (_, i) => {
          let dot = 0;
          for (let d = 0; d < k; d++) dot += x[Math.floor(i / n) * k + d]! * w[(i % n) * k + d]!;
          return dot;
        });
      },
      samples: [],
    }),
    {
      kind: 'dispatch',
      emits: true,
      plan: ({ inputs: { x }, outs: [out] }, _, device) => {
        const { dispatches, ...rest } = frozenPlan(
          {
            m: x!.shape[0]!,
            k: x!.shape[1]!,
            n: out!.shape[1]!,
            a: { buffer: 'x' },
            b: { buffer: 'w', half: true, transposed: true },
            out: 'out0',
          },
          x!,
          { ...device, f16: true, halfProducts: true },
        );
        return { ...rest, dispatches: dispatches.map((d): Dispatch => ({ ...d, wgsl: text(d.wgsl) })) };
      },
    },
  );

describe('products by frozen matrices', () => {
  let executor: Executor;
  beforeAll(async () => {
    executor = executorOn(await openGpu({ adapter: 'software' }), { poison: true });
  });
  afterAll(() => executor.close());

  it('in the kernel of f16 scale rows and weights and take the factors out again: its text, with f32 for f16, on any adapter', async () => {
    const inFloats = frozenProduct((wgsl) => wgsl.replace('enable f16;', '').replaceAll('f16>', 'f32>'));
    const y = inFloats(input('x', [tokens, inDim]), halfWeight());
    const feeds = { x: rowsOfAllSizes('x', inDim) };
    const [got, wanted] = [await run({ y }, executor, feeds), await run({ y }, reference(), feeds)];
    expect(worstRow(got['y']!, wanted['y']!, outDim)).toBeLessThan(1e-6);
  });

  it('of one x round its rows once', async () => {
    const attrs = { format: 'sint8', inDim, block: inDim, compute: 'int8' } as const;
    const x = input('x', [tokens, inDim]);
    const product = (name: string, of: Tensor): Tensor => {
      const codes = variable(
        `${name}.c`,
        [outDim, inDim],
        Uint8Array.from({ length: outDim * inDim }, (_, i) => i % 251),
        'u8',
      );
      const scale = variable(`${name}.s`, [outDim, 1], new Float32Array(outDim).fill(0.01));
      return matmulQuantized(of, codes, scale, null, null, null, null, null, attrs);
    };
    const outputs = { q: product('q', x), k: product('k', x), v: product('v', mul(x, 2)) };
    const executable = await compile({ outputs }, { executor });
    const feeds = {
      x: Float32Array.from({ length: tokens * inDim }, (_, i) => (i % inDim === 0 ? 127 : (i % 200) - 99.75)),
    };
    const [got, wanted] = [await executable.run(feeds), await run(outputs, reference(), feeds)];
    // Rows of x and of 2·x, three products, and the doubling.
    expect(executable.plan.dispatches).toBe(2 + 3 + 1);
    executable.close();
    for (const name of ['q', 'k', 'v']) expect(worstRow(got[name]!, wanted[name]!, outDim)).toBeLessThan(1e-5);
  });

  it('of whole numbers are right at the depth that still fits an i32, and beyond it', async () => {
    for (const depth of [mostWholeDepth - (mostWholeDepth % 4), mostWholeDepth + 4001]) {
      const codes = variable('c', [4, depth], new Uint8Array(4 * depth).fill(128), 'u8');
      const scale = variable('s', [4, 1], Float32Array.of(1, 0.5, 0.25, 2));
      const attrs = { format: 'sint8', inDim: depth, block: depth, compute: 'int8' } as const;
      const x = input('x', [2, depth]);
      const y = matmulQuantized(x, codes, scale, null, null, null, null, null, attrs);
      const got = await run({ y }, executor, { x: new Float32Array(2 * depth).fill(1) });
      const wanted = [1, 0.5, 0.25, 2, 1, 0.5, 0.25, 2].map((s) => -128 * depth * s);
      expect(worstRow(got['y']!, Float32Array.from(wanted), 4)).toBeLessThan(2e-3);
    }
  });
});

const probe = await openGpu({ adapter: 'software' });
const hasF16 = probe.facts.f16;
probe.close();

// SwiftShader, which comes with the dependencies, has no shader-f16; Mesa's lavapipe has: VK_DRIVER_FILES names it.
describe.skipIf(!hasF16)(`compute: 'f16'${hasF16 ? '' : ' (skipped: this adapter has no shader-f16)'}`, () => {
  let half: Executor;
  beforeAll(async () => {
    half = executorOn(await openGpu({ adapter: 'software', compute: 'f16' }), { poison: true });
  });
  afterAll(() => half?.close());

  it('keeps rows of any size, forward and in the gradient of x', async () => {
    const [x, dy, w] = [input('x', [tokens, inDim]), input('dy', [tokens, outDim]), halfWeight()];
    const outputs = { y: matmul(x, w, { transposeB: true }), dx: matmul(dy, w) };
    const feeds = { x: rowsOfAllSizes('x', inDim), dy: rowsOfAllSizes('dy', outDim) };
    const [got, wanted] = [await run(outputs, half, feeds), await run(outputs, reference(), feeds)];
    const off = [worstRow(got['y']!, wanted['y']!, outDim), worstRow(got['dx']!, wanted['dx']!, inDim)];
    for (const part of off) expect(part).toBeLessThan(near);
    // It is f16, and not the product in f32.
    for (const part of off) expect(part).toBeGreaterThan(1e-5);
  });

  it('stores no number, and no infinity, where a sum does not fit f16', async () => {
    const feeds = { x: values('x', tokens * inDim) };
    const y = matmul(input('x', [tokens, inDim]), halfWeight(60_000), { transposeB: true });
    const { y: got } = await run({ y }, half, feeds);
    got!.forEach((v, i) => expect(Number.isNaN(v), `${i}`).toBe(i % outDim === 3));
    const { y: fits } = await run(
      { y: matmul(input('x', [tokens, inDim]), halfWeight(127), { transposeB: true }) },
      half,
      { x: new Float32Array(tokens * inDim).fill(7.99) },
    );
    expect(fits!.every(Number.isFinite)).toBe(true);
  });

  it('leaves products by what is trained in f32', async () => {
    const [x, w] = [input('x', [tokens, inDim]), input('w', [outDim, inDim])];
    const outputs = { y: sum(mul(matmul(x, w, { transposeB: true }), 1 / tokens)) };
    const feeds = { x: values('x', tokens * inDim), w: values('w', outDim * inDim) };
    const [got, wanted] = [await run(outputs, half, feeds), await run(outputs, reference(), feeds)];
    expect(got['y']![0]).toBeCloseTo(wanted['y']![0]!, 4);
  });
});
