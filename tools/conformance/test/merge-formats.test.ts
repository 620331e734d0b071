import { attach, type MergeOptions, merge } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import {
  ggml,
  hqq,
  inAwq,
  inFormat,
  inGptq,
  inLlmInt8,
  int2,
  int3,
  int4,
  int8,
  nf4,
  type QuantFormat,
  quantize,
} from '@peftjs/quant';
import { evaluate, reference } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';

const executor = reference();
const ids = tokens([1, 5, 2, 9], [3, 3, 0, 7]);
const tiny = tinyLlama({ hiddenSize: 32, headDim: 8 });

const adaptedBy = async (std: number, base = tiny) => {
  const adapted = attach(base, [lora({ rank: 2, target: ['q_proj', 'up_proj'] })]);
  await shake(adapted.params, { executor, std });
  return adapted;
};

const plain: readonly (readonly [string, QuantFormat])[] = [
  ['int8', int8()],
  ['nf4', nf4({ blockSize: 16 })],
  ['hqq', hqq({ blockSize: 16 })],
  ['Q4_0', ggml('Q4_0')],
];

const data = [
  { rows: 2, columns: { ids: Int32Array.of(1, 5, 2, 9, 7, 3, 3, 0, 7, 4) }, shapes: { ids: [2, 5] as const } },
];

const formats: readonly (readonly [string, MergeOptions['format']])[] = [
  ...plain.map(([name, format]) => [name, inFormat(format)] as const),
  ['GPTQ', inGptq({ data, bits: 4, groupSize: 16, damping: 0.1 })],
  ['AWQ', inAwq(int3({ blockSize: 16 }), { data })],
  ['LLM.int8()', inLlmInt8({ data })],
];

describe.each(formats)('merged into %s', (_, format) => {
  test('changed layers are in it, and the error is that of their values to the change', async () => {
    const adapted = await adaptedBy(0.2);
    const { model, errors } = await merge(adapted, { executor, format: format! });
    expect(errors.size).toBe(4);
    for (const [path, error] of errors) {
      const [stored, exact, before] = [model, adapted.model, tiny].map((m) => m.linears.get(path)!.dense().weight);
      const got = await evaluate({ stored: stored!, exact: exact!, before: before! }, { executor });
      const norm = (a: string, b: string): number => Math.hypot(...got[a]!.map((v, i) => v - got[b]![i]!));
      expect(error).toBeCloseTo(norm('stored', 'exact') / norm('exact', 'before'), 4);
      expect(norm('stored', 'exact')).toBeGreaterThan(0);
    }
  });
});

test('calibrated on what the merged model makes of data, its outputs are nearer than by rounding', async () => {
  const adapted = await adaptedBy(0.2);
  const outputs = async (format: MergeOptions['format']): Promise<number> => {
    const { model } = await merge(adapted, { executor, format: format! });
    const { a, b } = await evaluate({ a: model.logits(ids), b: adapted.model.logits(ids) }, { executor });
    return distance(a!, b!);
  };
  const texts = [
    { rows: 2, columns: { ids: Int32Array.of(1, 5, 2, 9, 3, 3, 0, 7) }, shapes: { ids: [2, 4] as const } },
  ];
  const calibrated = await outputs(inGptq({ data: texts, bits: 3, groupSize: 16, damping: 0.1 }));
  expect(calibrated).toBeLessThan(0.8 * (await outputs(inFormat(int3({ blockSize: 16 })))));
});

test('a change that is less than what storing loses is told as undone, in each layer', async () => {
  const { undone, errors } = await merge(await adaptedBy(0.01), {
    executor,
    format: inFormat(int2({ blockSize: 16 })),
  });
  expect(undone).toEqual([...errors.keys()]);
  const large = await merge(await adaptedBy(0.5), { executor, format: inFormat(int8()) });
  expect(large.undone).toEqual([]);
});

test('a quantised base is merged into another format, from its own values', async () => {
  const adapted = await adaptedBy(0.2, quantize(tiny, int4({ blockSize: 8 })));
  const { model } = await merge(adapted, { executor, format: inFormat(int8({ blockSize: 8 })) });
  const { a, b } = await evaluate({ a: model.logits(ids), b: adapted.model.logits(ids) }, { executor });
  expect(distance(a!, b!)).toBeLessThan(0.1);
  await expect(merge(adapted, { executor, format: 'nf4' as never })).rejects.toThrow(
    /format .*a function, as inFormat\(nf4\(\)\) is, or a format of the whole model/,
  );
});
