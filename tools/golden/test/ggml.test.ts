import { join } from 'node:path';
import { openSafetensors } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { type GgmlType, ggml, ggmlTypes, iqBlocks, iqTypes, type PackedData, type QuantFormat } from '@peftjs/quant';
import { dequantize, type Executor, evaluate, packedShapes, reference, type Tensor, variable } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';

const golden = await openSafetensors(join(import.meta.dirname, '../data/ggml/blocks.safetensors'));
const floats = (name: string): Promise<Float32Array> => golden.readFloat32(name);
const bytesOf = async (name: string): Promise<Uint8Array> => Uint8Array.from(await floats(name));
const [rows, inDim] = golden.tensors.get('weight')!.shape as [number, number];

/** The values of packed data, as an executor unpacks them. */
const unpacked = (type: GgmlType, data: PackedData, executor: Executor): Promise<Float32Array> =>
  unpackedIn(ggml(type), data, executor);

const unpackedIn = async (
  format: Pick<QuantFormat, 'layout' | 'parts'>,
  data: PackedData,
  executor: Executor,
): Promise<Float32Array> => {
  const attrs = format.layout(inDim);
  const shapes = packedShapes(attrs, rows, format.parts);
  const part = (name: keyof PackedData): Tensor | null => {
    const values = data[name];
    if (!values) return null;
    const dtype = values instanceof Uint8Array ? 'u8' : values instanceof Uint16Array ? 'f16' : 'f32';
    return variable(name, shapes[name as keyof typeof shapes], values, dtype);
  };
  const weight = dequantize(
    part('codes')!,
    part('scale')!,
    part('scaleCodes'),
    part('scaleOffset'),
    part('high'),
    part('min'),
    part('minCodes'),
    attrs,
  );
  return (await evaluate({ weight }, { executor }))['weight'] as Float32Array;
};

const norm = (values: Float32Array): number => Math.hypot(...values);

describe.each(ggmlTypes)('blocks of %s', (type) => {
  const format = ggml(type);

  test("stand for the values of llama.cpp's package, to the bit", async () => {
    const data = format.read('weight', await bytesOf(`${type}.bytes`), rows, inDim);
    const executor = await cpu({ threads: 1 });
    const got = await unpacked(type, data, executor);
    await executor.close();
    // But for the sign of 0.
    const wanted = await floats(`${type}.values`);
    expect(got.findIndex((v, i) => v !== wanted[i])).toBe(-1);
  });

  test('are written again as they are, of the values that they stand for', async () => {
    const weight = await floats('weight');
    const bytes = format.write('weight', weight, rows, inDim);
    const once = await unpacked(type, format.read('weight', bytes, rows, inDim), reference());
    const packed = await unpacked(type, format.pack('weight', weight, rows, inDim), reference());
    expect(packed).toEqual(once);
    expect(norm(once.map((v, i) => v - weight[i]!)) / norm(weight)).toBeLessThan(errors[type]);
  });
});

test.each(iqTypes)('vectors of %s stand for the values of the package, to the bit', async (type) => {
  const [format, bytes] = [iqBlocks(type), await bytesOf(`${type}.bytes`)];
  const wanted = await floats(`${type}.values`);
  expect(await format.values('weight', bytes, rows, inDim)).toEqual(wanted);
  const executor = await cpu({ threads: 1 });
  const got = await unpackedIn(format.storage, await format.read('weight', bytes, rows, inDim), executor);
  await executor.close();
  expect(got.findIndex((v, i) => v !== wanted[i])).toBe(-1);
});

/** Those that the package can make itself. */
const made = ggmlTypes.filter((type) => golden.tensors.has(`${type}.packed`));

test.each(made)('blocks of %s have the bytes that the package makes of values', async (type) => {
  const written = ggml(type).write('weight', await floats('weight'), rows, inDim);
  expect(written).toEqual(await bytesOf(`${type}.packed`));
});

/** How far normal values may move, relative to their norm. */
const errors: Readonly<Record<GgmlType, number>> = {
  Q4_0: 0.1,
  Q4_1: 0.09,
  Q5_0: 0.05,
  Q5_1: 0.045,
  Q8_0: 0.006,
  Q2_K: 0.35,
  Q3_K: 0.18,
  Q4_K: 0.08,
  Q5_K: 0.04,
  Q6_K: 0.025,
  IQ4_NL: 0.08,
  IQ4_XS: 0.085,
  TQ1_0: 0.95,
  TQ2_0: 0.95,
  MXFP4: 0.13,
  NVFP4: 0.11,
};
