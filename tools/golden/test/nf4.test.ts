import { join } from 'node:path';
import { openSafetensors } from '@peftjs/io';
import { nf4 } from '@peftjs/quant';
import { dequantize, dynamicMap, evaluate, nf4Levels, reference, variable } from '@peftjs/tensor';
import { expect, test } from 'vitest';

const golden = await openSafetensors(join(import.meta.dirname, '../data/bitsandbytes/nf4.safetensors'));
const read = (name: string): Promise<Float32Array> => golden.readFloat32(name);
const [rows, inDim] = golden.tensors.get('weight')!.shape as [number, number];

test('the levels are those of bitsandbytes', async () => {
  expect(Float32Array.from(nf4Levels)).toEqual(await read('levels'));
  const map = await read('scale_levels');
  for (const [code, level] of dynamicMap.entries()) expect(Math.abs(level - map[code]!)).toBeLessThan(1e-7);
});

test('codes and scales are those of bitsandbytes', async () => {
  const { codes, scale } = nf4({ doubleQuant: false }).pack('weight', await read('weight'), rows, inDim);
  expect(Float32Array.from(codes)).toEqual(await read('codes'));
  expect(scale).toEqual(await read('absmax'));
});

test('packed scales are those of bitsandbytes, but where its approximate search misses the nearest', async () => {
  const { scale, scaleCodes, scaleOffset } = nf4().pack('weight', await read('weight'), rows, inDim);
  const [codes, absmax, groups, offset] = [
    await read('scale_codes'),
    await read('absmax'),
    await read('scale'),
    await read('offset'),
  ];
  expect(scaleOffset![0]).toBeCloseTo(offset[0]!, 8);
  for (const [i, s] of groups.entries()) expect(scale[i]).toBeCloseTo(s, 8);
  const others = [...codes.keys()].filter((i) => codes[i] !== scaleCodes![i]);
  expect(others.length).toBeLessThan(0.02 * codes.length);
  for (const i of others) {
    const error = (code: number): number =>
      Math.abs(dynamicMap[code]! - (absmax[i]! - offset[0]!) / groups[Math.floor(i / 256)]!);
    expect(error(scaleCodes![i]!)).toBeLessThan(error(codes[i]!));
    expect(error(codes[i]!)).toBeLessThan(1.05 * error(scaleCodes![i]!));
  }
});

test('its tensors stand for the same values here', async () => {
  const bytes = async (name: string): Promise<Uint8Array> => Uint8Array.from(await read(name));
  const scale = await read('scale');
  const packed = [
    variable('codes', [rows, inDim / 2], await bytes('codes'), 'u8'),
    variable('scale', [scale.length], scale),
    variable('scaleCodes', [rows, 1], await bytes('scale_codes'), 'u8'),
    variable('scaleOffset', [], await read('offset')),
  ] as const;
  const { values } = await evaluate(
    { values: dequantize(...packed, null, null, null, { format: 'nf4', inDim, block: 64 }) },
    { executor: reference() },
  );
  const wanted = await read('dequantized');
  for (const [i, v] of wanted.entries()) expect(Math.abs(values![i]! - v)).toBeLessThan(1e-7);
});
