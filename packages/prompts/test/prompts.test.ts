import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach, combine, load, type Method, save } from '@peftjs/core';
import { constant, evaluate, reference, slice, type Tensor } from '@peftjs/tensor';
import { distance, shake, tinyGpt2, tinyLlama, tinyT5, tokens } from '@peftjs/testkit';
import { type CausalLM, generate } from '@peftjs/transformer';
import { describe, expect, onTestFinished, test } from 'vitest';
import { adapterHubPrefixTuning, prefixTuning, promptTuning, pTuning } from '../src/index.ts';

const bases: readonly (readonly [string, () => CausalLM])[] = [
  ['Llama', () => tinyLlama()],
  ['GPT-2', () => tinyGpt2()],
];
const text = [4, 7, 2];
const ids = [1, 5, 2, 9];
const executor = reference();
const valuesOf = async (y: Tensor): Promise<Float32Array> => (await evaluate({ y }, { executor }))['y'] as Float32Array;
const logits = (model: CausalLM, ...rows: number[][]): Promise<Float32Array> => valuesOf(model.logits(tokens(...rows)));
/** Logits of the last `count` tokens of a row. */
const lastLogits = (model: CausalLM, row: number[], count: number): Promise<Float32Array> =>
  valuesOf(slice(model.logits(tokens(row)), { axis: 1, start: row.length - count, end: row.length }));

describe.each(bases)('on %s', (_, make) => {
  test.each([
    ['a prompt', (init: number[], m: number) => promptTuning({ length: m, init: { text: init } })],
    ['a prefix', (init: number[], m: number) => prefixTuning({ length: m, init: { text: init } })],
  ])('%s that starts at a text is that text in front', async (__, method) => {
    const base = make();
    const same = async (init: number[], m: number, front: number[]): Promise<void> => {
      const { model } = attach(base, [method(init, m)]);
      const expected = await lastLogits(base, [...front, ...ids], ids.length);
      expect(distance(await logits(model, ids), expected)).toBeLessThan(1e-5);
    };
    await same(text, 3, text);
    await same(text, 2, [4, 7]);
    await same(text, 5, [4, 7, 2, 4, 7]);
    const other = await lastLogits(base, [3, 7, 2, ...ids], ids.length);
    const { model } = attach(base, [method(text, 3)]);
    expect(distance(await logits(model, ids), other)).toBeGreaterThan(1e-2);
  });

  test.each<[string, Method]>([
    ['promptTuning', promptTuning({ length: 3 })],
    ['prefixTuning', prefixTuning({ length: 3 })],
    ['prefixTuning with an MLP', prefixTuning({ length: 3, bottleneck: 5 })],
    ['pTuning', pTuning({ length: 3, hidden: 6 })],
  ])('%s gives a padded row what it gives it alone, and generates as it reads', async (__, method) => {
    const { model, params } = attach(make(), [method]);
    await shake(params, { executor });
    const [long, short] = [
      [3, 3, 12, 0],
      [6, 2],
    ];
    const padded = model.logits(tokens(long, [0, 0, ...short]), {
      mask: constant(Float32Array.of(1, 1, 1, 1, 0, 0, 1, 1), [2, 4]),
      positions: constant(Int32Array.of(0, 1, 2, 3, 0, 0, 0, 1), [2, 4]),
    });
    const [both, first, second] = [await valuesOf(padded), await logits(model, long), await logits(model, short)];
    expect(distance(both.subarray(0, first.length), first)).toBeLessThan(1e-5);
    expect(distance(both.subarray(both.length - second.length), second)).toBeLessThan(1e-5);

    const made = await generate(model, { executor, prompt: [long, short], maxTokens: 4 });
    const { vocabSize } = model.config;
    for (const [row, prompt] of [long, short].entries())
      for (const [i, token] of made[row]!.entries()) {
        const seen = [...prompt, ...made[row]!.slice(0, i)];
        const last = await lastLogits(model, seen, 1);
        expect(token).toBe(
          Array.from({ length: vocabSize }, (___, v) => v).reduce((a, b) => (last[b]! > last[a]! ? b : a)),
        );
      }
  });
});

test('the first rows are drawn with the seed of the adapter', async () => {
  const rowsAt = async (seed: number): Promise<Float32Array> => {
    const { params } = attach(tinyLlama(), [promptTuning({ length: 4 })], { seed });
    return (await executor.read(params.get('prompt_embeddings')!)) as Float32Array;
  };
  expect(distance(await rowsAt(1), await rowsAt(1))).toBe(0);
  expect(distance(await rowsAt(1), await rowsAt(2))).toBeGreaterThan(0.01);
  const table = (await evaluate({ w: tinyLlama().embeddings.get('model.embed_tokens')!.weight }, { executor }))['w']!;
  const row = (await rowsAt(1)).subarray(0, 8);
  expect(Array.from({ length: 13 }, (_, i) => distance(table.subarray(i * 8, i * 8 + 8), row))).toContain(0);
});

test('an encoder is gone when it is loaded: what trains on are the rows it computed', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'prompts-test-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const base = tinyLlama();
  for (const method of [pTuning({ length: 3, hidden: 6 }), prefixTuning({ length: 3, bottleneck: 5 })]) {
    const adapted = attach(base, [method]);
    await shake(adapted.params, { executor });
    await save(adapted, join(dir, method.name), { executor });
    const again = await load(base, join(dir, method.name), [promptTuning, pTuning, prefixTuning]);
    expect(again.method.name).toBe(method.name);
    expect([...again.params.keys()]).toEqual(['prompt_embeddings']);
    expect(distance(await logits(again.model, ids), await logits(adapted.model, ids))).toBeLessThan(1e-5);
  }
});

test('says what is wrong', () => {
  const base = tinyLlama();
  expect(() => promptTuning({ init: { text: [] } })).toThrow(
    "promptTuning: init must be 'random', 'vocabulary', { text: token ids } or { prompt: a snapshot }, got {\"text\":[]}",
  );
  expect(() => attach(base, [promptTuning({ init: { text: [3, 13, 99] } })])).toThrow(
    'init: text has tokens 13, 99, the vocabulary is 0 to 12',
  );
  expect(() => prefixTuning({ bottleneck: 4, init: { text: [1] } })).toThrow(
    'prefixTuning: with a bottleneck init is random or zeros',
  );
  expect(() => prefixTuning({ bottleneck: 0 })).toThrow(
    'bottleneck must be null or a whole number of at least 1, got 0',
  );
  expect(() => attach(base, [combine([{ layers: [0], method: promptTuning() }])])).toThrow('has no site embed');
  expect(() => attach(base, [combine([{ target: 'lm_head', method: prefixTuning() }])])).toThrow('has no attention');
  expect(() => attach(base, [prefixTuning({ submodules: 2 })])).toThrow(
    'submodules must be 1 in a model of one tower, got 2',
  );
  expect(() => attach(tinyT5(), [prefixTuning.fromConfig({ num_transformer_submodules: 1 })])).toThrow(
    "with 1 PEFT lets the attention to the encoder read the decoder's keys too",
  );
  expect(() => attach(base, [promptTuning({ submodules: 2 })])).toThrow(
    'submodules: there are rows for 2 towers, and the model has 1',
  );
});

test('layers of a T5 are not left out, as its bias of positions would be another', () => {
  expect(() => attach(tinyT5(), [adapterHubPrefixTuning({ length: 2, leaveOut: [0] })])).toThrow(
    /leave_out.* is not computed in a t5/,
  );
});
