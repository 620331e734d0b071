import { encodeSafetensors, memoryFiles, openSafetensors, type TensorReader, type WriteTensor } from '@peftjs/io';
import { evaluate, reference, sizeOf, type Tensor, variable } from '@peftjs/tensor';
import { denseLinear, loadModel, saveModel } from '@peftjs/transformer';
import { describeLinear, tinyLlama } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { orderedLinear, orderOf } from '../src/checkpoints/ordered-linear.ts';
import {
  awq,
  awqFiles,
  bitsandbytes,
  gptq,
  gptqFiles,
  int3,
  int4,
  int8,
  mxfp4,
  nf4,
  quantize,
  storedLinear,
} from '../src/index.ts';

const values = Float32Array.from({ length: 9 * 24 }, (_, i) => Math.sin(i));

describe('inputs in an order', () => {
  const order = orderOf(Int32Array.from({ length: 24 }, (_, i) => (7 * i) % 3))!;
  const format = int4({ blockSize: 8 });
  const bias = variable(
    'b',
    [9],
    Float32Array.from({ length: 9 }, (_, i) => i / 9),
  );
  describeLinear('a layer that takes its inputs in an order', {
    linear: () => {
      const read = async () => format.pack('w', values, 9, 24);
      return orderedLinear(storedLinear(format, 'w', [9, 24], bias, read), order, 'w');
    },
    encodes: 1e-6,
  });

  test('is that of the groups, stable; none where they are in order', () => {
    expect(Array.from(orderOf(Int32Array.of(1, 0, 1, 0))!)).toEqual([1, 3, 0, 2]);
    expect(orderOf(Int32Array.of(0, 0, 1, 1))).toBeNull();
  });
});

const fileOf = async (tensors: Readonly<Record<string, WriteTensor>>): Promise<TensorReader> => {
  const files = memoryFiles();
  await files.write(new Map([['m.safetensors', encodeSafetensors('m', new Map(Object.entries(tensors)))]]));
  return openSafetensors({ files, path: 'm.safetensors' });
};

const words = (rows: number, columns: number, at: (i: number) => number = () => 0): WriteTensor => ({
  dtype: 'I32',
  shape: [rows, columns],
  data: Int32Array.from({ length: rows * columns }, (_, i) => at(i)),
});

const floats = (...shape: number[]): WriteTensor => ({
  dtype: 'F32',
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b)).fill(1),
});

/** A layer [32, 64] of 4 bits in groups of 32. */
const layer = { 'l.qweight': words(8, 32), 'l.qzeros': words(2, 4), 'l.scales': floats(2, 32) };
const settings = { bits: 4, group_size: 32, desc_act: true };
const find = (config: object) => gptq.open({ ...settings, ...config }, []);

describe('refused, by name', () => {
  test.each([
    [gptq, { ...settings, bits: 5 }, /bits: 5 is not supported; 2, 3, 4 and 8 are/],
    [gptq, { ...settings, group_size: 0 }, /group_size: 0 is not/],
    [gptq, { ...settings, checkpoint_format: 'marlin' }, /checkpoint_format: "marlin" is not/],
    [awq, { bits: 4, group_size: 32, version: 'gemv' }, /version: "gemv" is not supported; "gemm" is/],
    [awq, { bits: 3, group_size: 32 }, /bits: 3 is not/],
    [mxfp4, { modules_to_not_convert: 'lm_head' }, /modules_to_not_convert: is no list of names/],
  ] as const)('settings of %o: %o', (reader, config, message) => {
    const problems: string[] = [];
    reader.open(config, problems);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(message);
  });

  test('tensors of other shapes, groups that do not fill the inputs, groups of other sizes', async () => {
    const open = await fileOf(layer);
    await expect(find({})(open, 'l', [32, 96])).rejects.toThrow(
      /l\.qweight is I32 \[8, 32\], .* make it I32 \[12, 32\]/,
    );
    await expect(find({ group_size: 48 })(open, 'l', [32, 64])).rejects.toThrow(
      /64 inputs, which groups of 48 at 4 bits/,
    );
    const odd = { ...layer, 'l.g_idx': { ...words(1, 64, (i) => Number(i < 3)), shape: [64] } };
    await expect(find({})(await fileOf(odd), 'l', [32, 64])).rejects.toThrow(
      /does not put 32 inputs into each of 2 groups/,
    );
    const { 'l.scales': _, ...without } = layer;
    await expect(find({})(await fileOf(without), 'l', [32, 64])).rejects.toThrow(/l\.scales is missing/);
    expect(await find({})(await fileOf(layer), 'other', [32, 64])).toBeNull();
  });

  test('experts of other sizes, at once, and values that are not finite, when they are read', async () => {
    const bytes = (shape: readonly number[], at: (i: number) => number = () => 0x77): WriteTensor => ({
      dtype: 'U8',
      shape,
      data: Uint8Array.from({ length: sizeOf(shape) }, (_, i) => at(i)),
    });
    const find = mxfp4.experts!;
    const of = (scales: (i: number) => number): Promise<TensorReader> =>
      fileOf({ e_blocks: bytes([2, 3, 2, 16]), e_scales: bytes([2, 3, 2], scales) });
    const open = await of((i) => (i < 6 ? 252 : 0));
    expect(find(open, 'other', [2, 3, 64])).toBeNull();
    expect(() => find(open, 'e', [4e9, 3, 64])).toThrow(
      /e_blocks is U8 \[2, 3, 2, 16\], .* make it U8 \[4000000000, 3, 2, 16\]/,
    );
    expect(() => find(open, 'e', [2, 3, 80])).toThrow(/e has 80 inputs by config.json, which blocks of 32 do not fill/);
    const without = await fileOf({ e_blocks: bytes([2, 3, 2, 16]) });
    expect(() => find(without, 'e', [2, 3, 64])).toThrow(/e_scales is missing/);
    const floats = await fileOf({
      e_blocks: bytes([2, 3, 2, 16]),
      e_scales: { ...bytes([2, 3, 2]), dtype: 'I8', data: new Int8Array(12) },
    });
    expect(() => find(floats, 'e', [2, 3, 64])).toThrow(/e_scales is I8 \[2, 3, 2\]/);
    const valuesOf = async (of: TensorReader) =>
      (await evaluate({ all: find(of, 'e', [2, 3, 64])!.experts('e', null).dense() }, { executor: reference() }))[
        'all'
      ]!;
    expect((await valuesOf(open))[0]).toBe(6 * 2 ** 125);
    for (const scale of [253, 255]) {
      await expect(valuesOf(await of((i) => (i === 4 ? scale : 127)))).rejects.toMatchObject({
        code: 'bad-data',
        message: expect.stringMatching(/e: scale 4 is/),
      });
    }
  });

  test('inputs out of order that the config does not tell of, when they are read', async () => {
    const turned = { ...layer, 'l.g_idx': { ...words(1, 64, (i) => i % 2), shape: [64] } };
    const found = await find({ desc_act: false })(await fileOf(turned), 'l', [32, 64]);
    const { weight } = found!.linear('w', null).dense();
    const { evaluate, reference } = await import('@peftjs/tensor');
    await expect(evaluate({ weight }, { executor: reference() })).rejects.toThrow(/out of order, though desc_act/);
  });

  test('states of bitsandbytes that say something else', async () => {
    const of = (state: object): Promise<TensorReader> => {
      const bytes = new TextEncoder().encode(JSON.stringify(state));
      return fileOf({
        'l.weight': { dtype: 'U8', shape: [64, 1], data: new Uint8Array(64) },
        'l.weight.absmax': floats(2),
        'l.weight.quant_map': floats(16),
        'l.weight.quant_state.bitsandbytes__nf4': { dtype: 'U8', shape: [bytes.length], data: bytes },
      });
    };
    const layers = bitsandbytes.open({}, []);
    const state = { quant_type: 'nf4', blocksize: 64, shape: [2, 64] };
    expect((await layers(await of(state), 'l', [2, 64]))!.tensors).toHaveLength(4);
    const cases: [object, RegExp][] = [
      [{ quant_type: 'nf3' }, /quant_type is "nf3"/],
      [{ shape: [4, 32] }, /shape is \[4,32\], the model's is \[2,64\]/],
      [{ blocksize: 32 }, /absmax is F32 \[2\], .* make it F32 \[4\]/],
      [{ nested_blocksize: 64, nested_offset: 0.1 }, /groups of 64 with offset 0\.1/],
    ];
    for (const [change, message] of cases)
      await expect(layers(await of({ ...state, ...change }), 'l', [2, 64])).rejects.toThrow(message);
    await expect(layers(await of({ ...state, shape: [128, 1] }), 'l', [128, 1])).rejects.toThrow(
      /rows of 1 values, an odd number/,
    );
  });
});

/** Weights above 0. */
const above = (shape: readonly number[], name: string): Tensor =>
  variable(
    `${name}.weight`,
    shape,
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => 1 + Math.sin(i)),
  );

describe('written', () => {
  const executor = reference();
  const base = tinyLlama({ hiddenSize: 32, intermediateSize: 64, heads: 4, headDim: 16 });

  test.each([
    ['int4 with zero points', int4({ blockSize: 16 }), gptqFiles({ checkpointFormat: 'gptq_v2' })],
    ['int3 without', int3({ blockSize: 32, zeroPoints: false }), gptqFiles()],
    ['int4 as AWQ', int4({ blockSize: 32 }), awqFiles()],
  ] as const)('%s, and read again: the same but for scales in f16', async (_, format, writer) => {
    const model = quantize(base, format);
    const files = memoryFiles();
    await saveModel(model, files, { executor, writer });
    const again = await loadModel(files, { readers: [gptq, awq] });
    for (const [path, layer] of again.linears) {
      const [a, b] = [layer, model.linears.get(path)!].map((one) => one.dense().weight);
      const values = await evaluate({ a: a!, b: b! }, { executor });
      for (const [i, v] of values['b']!.entries())
        expect(Math.abs(values['a']![i]! - v) <= Math.abs(v) * 2 ** -11).toBe(true);
    }
  });

  test.each([
    ['other formats', quantize(base, nf4()), gptqFiles(), /q_proj is in nf4, whose blocks are no whole numbers/],
    ['layers that are left out', quantize(base, int4(), ['q_proj']), gptqFiles(), /k_proj is not quantised/],
    [
      'unlike widths',
      quantize(
        quantize(base, int8({ blockSize: 32, zeroPoints: true }), ['q_proj']),
        int4({ blockSize: 32 }),
        (path: string) => !/q_proj|lm_head/.test(path),
      ),
      gptqFiles(),
      /8 bits in groups of 32 and 4 bits in groups of 32; such files have one width/,
    ],
    ['other widths than 4', quantize(base, int3({ blockSize: 32 })), awqFiles(), /is of 3 bits.*Take gptqFiles/],
    ['groups that are not full', quantize(base, int4({ blockSize: 48 })), gptqFiles(), /groups of 48 do not fill/],
  ] as const)('not: %s', async (_, model, writer, message) => {
    await expect(saveModel(model, memoryFiles(), { executor, writer })).rejects.toThrow(message);
  });

  test('not: a zero point of 0 less one', async () => {
    const linears = new Map(
      [...base.linears].map(([path, layer]) => [
        path,
        path === 'lm_head' ? layer : denseLinear({ weight: above(layer.dense().weight.shape, path), bias: null }),
      ]),
    );
    const model = quantize(base.with({ linears }), int4({ blockSize: 32 }));
    await expect(saveModel(model, memoryFiles(), { executor, writer: gptqFiles() })).rejects.toThrow(
      /has a zero point of 0, .* give checkpointFormat: 'gptq_v2'/,
    );
  });
});
