import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  add,
  argmax,
  attention,
  cast,
  compile,
  constant,
  type Executor,
  gather,
  headCrossEntropy,
  input,
  matmul,
  mul,
  numberToHalf,
  reshape,
  rmsNorm,
  rope,
  silu,
  type Tensor,
  transpose,
  variable,
} from '@peftjs/tensor';
import { mustMatch } from '@peftjs/tensor/testing';
import * as ort from 'onnxruntime-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cpu, exportOnnx } from '../src/index.ts';

let executor: Executor;
let folder: string;
beforeEach(async () => {
  executor = await cpu({ threads: 1 });
  folder = await mkdtemp(join(tmpdir(), 'peftjs-onnx-'));
});
afterEach(async () => {
  await executor.close();
  await rm(folder, { recursive: true });
});

const wave = (size: number, phase: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(i * 1.7 + phase));
const weight = (name: string, shape: readonly number[]) =>
  variable(name, shape, () =>
    wave(
      shape.reduce((a, b) => a * b, 1),
      name.length,
    ),
  );

/** One decoder block with grouped heads, a half-precision weight and a tied head. */
const model = (): Readonly<Record<string, Tensor>> => {
  const [batch, tokens, heads, groups, headDim] = [2, 5, 4, 2, 6];
  const d = heads * headDim;
  const table = weight('embedding', [11, d]);
  const x = gather(table, input('ids', [batch, tokens], 'i32'));
  const h = rmsNorm(x, weight('norm', [d]), { eps: 1e-5 });
  const angle = (f: (v: number) => number): Tensor =>
    constant(
      Float32Array.from({ length: tokens * 3 }, (_, i) => f(i)),
      [tokens, 3],
    );
  const split = (name: string, n: number): Tensor =>
    transpose(
      reshape(matmul(h, weight(name, [n * headDim, d]), { transposeB: true }), [batch, tokens, n, headDim]),
      [0, 2, 1, 3],
    );
  const turn = (t: Tensor): Tensor => rope(t, angle(Math.cos), angle(Math.sin));
  const mixed = attention(turn(split('query', heads)), turn(split('key', groups)), split('value', groups), {
    causal: true,
    keyMask: input('mask', [batch, tokens]),
  });
  const joined = reshape(transpose(mixed, [0, 2, 1, 3]), [batch, tokens, d]);
  const half = cast(variable('half', [d, d], Uint16Array.from(wave(d * d, 4), numberToHalf), 'f16'), { dtype: 'f32' });
  const y = add(x, silu(matmul(joined, half)));
  const logits = matmul(y, table, { transposeB: true });
  return {
    logits,
    next: argmax(logits, { axis: 2 }),
    loss: headCrossEntropy(reshape(y, [batch * tokens, d]), table, input('labels', [batch * tokens], 'i32')),
  };
};

const feeds = {
  ids: Int32Array.of(1, 2, 3, 4, 10, 0, 7, 7, 7, 2),
  mask: Float32Array.of(1, 1, 1, 1, 1, 1, 1, 1, 0, 0),
  labels: Int32Array.of(2, 3, 4, 10, -100, 7, 7, 7, 2, -100),
};

/** Runs an exported model in ONNX Runtime alone. */
const runAlone = async (path: string): Promise<ort.InferenceSession.ReturnType> => {
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
  const wrap = (name: string, data: Float32Array | Int32Array, dims: readonly number[]) =>
    [name, new ort.Tensor(data instanceof Int32Array ? 'int32' : 'float32', data, dims)] as const;
  const results = await session.run(
    Object.fromEntries([
      wrap('ids', feeds.ids, [2, 5]),
      wrap('mask', feeds.mask, [2, 5]),
      wrap('labels', feeds.labels, [10]),
    ]),
  );
  expect([...session.inputNames].sort()).toEqual(['ids', 'labels', 'mask']);
  await session.release();
  return results;
};

describe('an exported model', () => {
  it.each([false, true])('gives what the executor gives, weights beside it: %s', async (externalData) => {
    const outputs = model();
    const path = join(folder, 'model.onnx');
    await exportOnnx({ outputs }, { executor, path, externalData });
    const wanted = await (await compile({ outputs }, { executor })).run(feeds);
    const got = await runAlone(path);
    expect(Object.keys(got)).toEqual(Object.keys(outputs));
    for (const [name, t] of Object.entries(outputs)) mustMatch(name, t, got[name]!.data as Float32Array, wanted[name]!);
    expect((await readdir(folder)).sort()).toEqual(externalData ? ['model.onnx', 'model.onnx.data'] : ['model.onnx']);
    const weights = 4 * (11 * 24 + 24 + 24 * 24 + 2 * 12 * 24) + 2 * 24 * 24;
    expect((await stat(externalData ? `${path}.data` : path)).size).toBeGreaterThan(weights);
  });

  it('has the values that the executor holds', async () => {
    const w = variable('w', [2], Float32Array.of(1, 2));
    await (await compile({ updates: [[w, mul(w, 3)]] }, { executor })).run();
    const path = join(folder, 'trained.onnx');
    await exportOnnx({ outputs: { y: w, z: mul(input('x', [2]), w) } }, { executor, path });
    const session = await ort.InferenceSession.create(path);
    const { y, z } = await session.run({ x: new ort.Tensor('float32', Float32Array.of(1, 10), [2]) });
    expect([y!.data, z!.data]).toEqual([Float32Array.of(3, 6), Float32Array.of(3, 60)]);
    await session.release();
  });

  it('replaces an old one, or leaves it and no trace when it cannot be written', async () => {
    const path = join(folder, 'model.onnx');
    await writeFile(path, 'old');
    const x = input('x', [2]);
    const broken = variable('broken', [2], () => Promise.reject(new Error('unreadable')));
    await expect(
      exportOnnx({ outputs: { y: mul(x, broken) } }, { executor, path, externalData: true }),
    ).rejects.toThrow('unreadable');
    expect(await readdir(folder)).toEqual(['model.onnx']);
    expect(await readFile(path, 'utf8')).toBe('old');
    await expect(
      exportOnnx({ outputs: { y: mul(x, 2) } }, { executor, path: join(folder, 'none', 'model.onnx') }),
    ).rejects.toMatchObject({ code: 'write-failed' });
    await exportOnnx({ outputs: { y: mul(x, 2) } }, { executor, path });
    expect((await readFile(path)).length).toBeGreaterThan(50);
  });

  it('needs outputs whose names are their own', async () => {
    const x = input('x', [2]);
    const path = join(folder, 'model.onnx');
    await expect(exportOnnx({ outputs: { x: mul(x, 2) } }, { executor, path })).rejects.toMatchObject({
      code: 'bad-program',
    });
    await expect(exportOnnx({ outputs: {} }, { executor, path })).rejects.toMatchObject({ code: 'bad-program' });
  });
});
