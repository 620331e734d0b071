import { join } from 'node:path';
import { openSafetensors } from '@peftjs/io';
import { hqq, int2, int3, int4, int8, type QuantFormat, storedLinear } from '@peftjs/quant';
import { evaluate, reference } from '@peftjs/tensor';
import { expect, test } from 'vitest';

const golden = await openSafetensors(join(import.meta.dirname, '../data/rounding/hqq.safetensors'));
const [rows, inDim] = golden.tensors.get('weight')!.shape as [number, number];
const weight = await golden.readFloat32('weight');

const valuesIn = async (format: QuantFormat): Promise<Float32Array> => {
  const read = async () => format.pack('weight', weight, rows, inDim);
  const { weight: values } = storedLinear(format, 'weight', [rows, inDim], null, read).dense();
  return (await evaluate({ values }, { executor: reference() }))['values'] as Float32Array;
};

const errorOf = (values: ArrayLike<number>): number => weight.reduce((sum, v, i) => sum + Math.abs(v - values[i]!), 0);

test.each([
  [2, int2],
  [3, int3],
  [4, int4],
  [8, int8],
] as const)("%i bits: values are those of the authors' code, and nearer than without", async (bits, plain) => {
  const [got, wanted] = [await valuesIn(hqq({ bits, blockSize: 32 })), await golden.readFloat32(`${bits}`)];
  // A value in the middle of two steps may take either, as may a zero point that begins there.
  const others = wanted.filter((v, i) => Math.abs(v - got[i]!) > 1e-5);
  expect(others.length).toBeLessThan(0.002 * wanted.length);
  expect(errorOf(got)).toBeCloseTo(errorOf(wanted), 2);
  if (bits < 8)
    expect(errorOf(got)).toBeLessThan(errorOf(await valuesIn(plain({ blockSize: 32, zeroPoints: 'real' }))));
});
