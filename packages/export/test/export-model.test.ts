import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Adapted, attach, merge } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { prefixTuning, promptTuning } from '@peftjs/prompts';
import { nf4, quantize } from '@peftjs/quant';
import { constant, type Executor, evaluate } from '@peftjs/tensor';
import {
  buildModel,
  type CausalLM,
  type DecoderConfig,
  generate,
  loadModel,
  parseConfig,
  randomWeights,
  saveModel,
  sequenceClassifier,
  type TaskModel,
  tokenClassifier,
} from '@peftjs/transformer';
import {
  distance,
  shake,
  tinyBert,
  tinyConfig,
  tinyGpt2,
  tinyLlama,
  tinyT5,
  tinyVit,
  tinyWeights,
  tokens,
} from '@peftjs/transformer/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type ExportModelOptions, exportModel } from '../src/index.ts';
import { open, type Session } from './session.ts';

let executor: Executor;
beforeAll(async () => {
  executor = await cpu({ threads: 1 });
});
afterAll(() => executor.close());

const near = 1e-4;

const scratch = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-export-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
};

const exported = async (
  model: TaskModel,
  options: Omit<ExportModelOptions, 'executor'> = {},
): Promise<Session & { readonly dir: string }> => {
  const dir = await scratch();
  await exportModel(model, dir, { executor, ...options });
  const session = await open(dir);
  onTestFinished(() => session.close());
  return { ...session, dir };
};

const logitsOf = async (model: CausalLM, ...rows: readonly (readonly number[])[]): Promise<Float32Array> =>
  (await evaluate({ logits: model.logits(tokens(...rows)) }, { executor }))['logits'] as Float32Array;

const shaken = async (adapted: Adapted<CausalLM>): Promise<CausalLM> => {
  await shake(adapted.params, { executor });
  return adapted.model;
};

const gemma2: DecoderConfig = {
  ...tinyConfig,
  modelType: 'gemma2',
  fields: { slidingWindow: 10, queryPreAttnScalar: 3, attnLogitSoftcapping: 2, finalLogitSoftcapping: 3 },
};

/** Scores that fall with the distance, and no limit of positions. */
const alibi = (modelType: string, fields: DecoderConfig['fields'] & {}): DecoderConfig => ({
  ...tinyConfig,
  modelType,
  keyValueHeads: tinyConfig.heads,
  maxPositions: Number.POSITIVE_INFINITY,
  fields,
});

const decoders: readonly (readonly [string, () => Promise<CausalLM>])[] = [
  ['a Llama with grouped heads', async () => tinyLlama()],
  // What hides padding on the right counts in a window, so one that is wider than a text and its padding.
  ['a Gemma 2 with windows and caps', async () => buildModel(gemma2, tinyWeights(0))],
  ['a BLOOM', async () => buildModel(alibi('bloom', {}), tinyWeights(2))],
  [
    'LoRA on a Falcon with ALiBi',
    () => shaken(attach(buildModel(alibi('falcon', { alibi: true }), tinyWeights(0)), [lora({ rank: 2 })])),
  ],
  ['a GPT-2', async () => tinyGpt2({ tieWordEmbeddings: false }, 2)],
  ['LoRA on a Llama', () => shaken(attach(tinyLlama(), [lora({ rank: 2, target: 'all-linear' })]))],
  [
    'LoRA on a GPT-2',
    () => shaken(attach(tinyGpt2({ tieWordEmbeddings: false }, 2), [lora({ rank: 2, target: 'all-linear' })])),
  ],
  [
    'LoRA merged into a Llama',
    async () => {
      const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
      await shake(adapted.params, { executor });
      return (await merge(adapted, { executor })).model;
    },
  ],
  ['LoRA on a Llama in NF4', () => shaken(attach(quantize(tinyLlama(), nf4()), [lora({ rank: 2 })]))],
  ['a key/value prefix on a Llama', () => shaken(attach(tinyLlama(), [prefixTuning({ length: 3 })]))],
  [
    'a key/value prefix on a GPT-2',
    () => shaken(attach(tinyGpt2({ tieWordEmbeddings: false }, 2), [prefixTuning({ length: 3 })])),
  ],
];

const text = [1, 5, 2, 7, 7, 3, 12, 4, 9, 0, 11, 6, 8, 10];

describe.each(decoders)('%s', (_, make) => {
  test('gives its own logits for any number of texts of any length', async () => {
    const model = await make();
    const { run } = await exported(model);
    for (const rows of [[[3]], [text], [text.slice(2, 7), text.slice(5, 10), text.slice(9, 14)], [[4], [9]]])
      expect(distance((await run(rows)).logits, await logitsOf(model, ...rows))).toBeLessThan(near);
  });

  test('continues a prompt token by token, and by several', async () => {
    const model = await make();
    const { run } = await exported(model);
    const rows = [text, text.toReversed()];
    const whole = await logitsOf(model, ...rows);
    const vocab = whole.length / 2 / text.length;
    const at = (row: number, from: number, to: number): Float32Array =>
      whole.subarray((row * text.length + from) * vocab, (row * text.length + to) * vocab);
    let from = 0;
    let past: Awaited<ReturnType<typeof run>>['past'] = new Map();
    for (const count of [5, 1, 1, 4, 1, 2]) {
      const got = await run(
        rows.map((row) => row.slice(from, from + count)),
        { past },
      );
      for (const row of [0, 1])
        expect(
          distance(got.logits.subarray(row * count * vocab, (row + 1) * count * vocab), at(row, from, from + count)),
        ).toBeLessThan(near);
      past = got.past;
      from += count;
    }
    expect(from).toBe(text.length);
  });

  test('writes the 20 tokens that generate does', async () => {
    const model = await make();
    const { run } = await exported(model);
    const wanted = await generate(model, { executor, prompt: text.slice(0, 4), maxTokens: 20 });
    const got: number[] = [];
    let step = await run([text.slice(0, 4)]);
    while (got.length < 20) {
      const last = step.logits.subarray(-13);
      got.push(last.indexOf(Math.max(...last)));
      step = await run([[got.at(-1)!]], { past: step.past });
    }
    expect(got).toEqual(wanted);
    expect(new Set(got).size).toBeGreaterThan(1);
  });

  test('sees no padding, on either side, with a cache and without', async () => {
    const model = await make();
    const long = text.slice(0, 9);
    const short = text.slice(9, 13);
    const wanted = await logitsOf(model, short);
    const vocab = wanted.length / short.length;
    const padding = [1, 1, 1, 1, 1];
    const [seen, hidden, places] = [short.map(() => 1), padding.map(() => 0), short.map((_, t) => t)];
    const all = long.map(() => 1);
    const cached = await exported(model);
    const plain = await exported(model, { cache: false });
    for (const side of ['left', 'right']) {
      const padded = <T>(own: readonly T[], more: readonly T[]): T[] =>
        side === 'left' ? [...more, ...own] : [...own, ...more];
      const rows = [long, padded(short, padding)];
      const mask = [all, padded(seen, hidden)];
      const start = long.length + (side === 'left' ? padding.length : 0);
      const shortOf = (logits: Float32Array): Float32Array =>
        logits.subarray(start * vocab, (start + short.length) * vocab);
      const positions = [long.map((_, t) => t), padded(places, padding)];
      const first = await cached.run(rows, { mask, positions });
      expect(distance(shortOf(first.logits), wanted)).toBeLessThan(near);
      expect(distance(shortOf((await plain.run(rows, { mask })).logits), wanted)).toBeLessThan(near);
      // Both rows continue, one from behind its padding.
      const next = await cached.run([[7], [7]], {
        mask: mask.map((row) => [...row, 1]),
        positions: [[long.length], [short.length]],
        past: first.past,
      });
      const [after] = [await logitsOf(model, [...short, 7])];
      expect(distance(next.logits.subarray(vocab), after.subarray(-vocab))).toBeLessThan(near);
    }
  });
});

describe('the file', () => {
  test('has the names, types and sizes of Optimum', async () => {
    const { inputs, types, outputs } = await exported(tinyLlama());
    const [batch, past, all] = ['batch_size', 'past_sequence_length', 'past_sequence_length + sequence_length'];
    const caches = (of: string, length: string) =>
      [0, 1].flatMap((i) => ['key', 'value'].map((part) => [`${of}.${i}.${part}`, [batch, 2, length, 6]] as const));
    expect(Object.entries(inputs)).toEqual([
      ['input_ids', [batch, 'sequence_length']],
      ['attention_mask', [batch, all]],
      ['position_ids', [batch, 'sequence_length']],
      ...caches('past_key_values', past),
    ]);
    expect(Object.entries(types)).toEqual([
      ...['input_ids', 'attention_mask', 'position_ids'].map((name) => [name, 'int64']),
      ...caches('past_key_values', past).map(([name]) => [name, 'float32']),
    ]);
    expect(Object.entries(outputs)).toEqual([['logits', [batch, 'sequence_length', 13]], ...caches('present', all)]);
  });

  test('has no cache where none is wanted', async () => {
    const { inputs, outputs } = await exported(tinyGpt2(), { cache: false });
    expect(inputs).toEqual({
      input_ids: ['batch_size', 'sequence_length'],
      attention_mask: ['batch_size', 'sequence_length'],
    });
    expect(outputs).toEqual({ logits: ['batch_size', 'sequence_length', 13] });
  });

  test('lies in a folder with its config, tokenizer and generation config', async () => {
    const source = memoryFiles();
    const model = tinyLlama({ eosIds: [2] });
    await saveModel(model, source, { executor });
    await source.write(
      new Map([
        ['tokenizer.json', '{"t":1}'],
        ['generation_config.json', '{"eos_token_id":2}'],
      ]),
    );
    const { dir } = await exported(await loadModel(source));
    expect((await readdir(dir, { recursive: true })).sort()).toEqual([
      'config.json',
      'genai_config.json',
      'generation_config.json',
      'onnx',
      'onnx/model.onnx',
      'tokenizer.json',
    ]);
    expect(await readFile(join(dir, 'tokenizer.json'), 'utf8')).toBe('{"t":1}');
    const config = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8')) as object;
    expect(config).toEqual(JSON.parse(new TextDecoder().decode(await source.read('config.json'))));
    expect(config).toMatchObject({ model_type: 'llama', num_key_value_heads: 2, head_dim: 6 });
  });

  test('tells onnxruntime-genai of its sizes and of the tokens that end a text, or nothing where there are none', async () => {
    const source = memoryFiles();
    await saveModel(tinyLlama({ eosIds: [2], bosId: 1, padId: 3 }), source, { executor });
    const genai = async (context?: number): Promise<unknown> => {
      const files = memoryFiles();
      await exportModel(await loadModel(source), files, { executor, ...(context && { context }) });
      return JSON.parse(new TextDecoder().decode(await files.read('genai_config.json')));
    };
    expect(await genai(32)).toMatchObject({
      model: {
        type: 'decoder',
        context_length: 32,
        vocab_size: 13,
        bos_token_id: 1,
        eos_token_id: [2],
        pad_token_id: 3,
        decoder: {
          filename: 'onnx/model.onnx',
          head_size: 6,
          num_attention_heads: 4,
          num_key_value_heads: 2,
          num_hidden_layers: 2,
          inputs: { past_key_names: 'past_key_values.%d.key', past_value_names: 'past_key_values.%d.value' },
          outputs: { present_key_names: 'present.%d.key', present_value_names: 'present.%d.value' },
        },
      },
      search: { max_length: 32 },
    });
    await source.write(new Map([['generation_config.json', '{"eos_token_id":[2,5]}']]));
    expect(await genai()).toMatchObject({ model: { context_length: 64, eos_token_id: [2, 5], pad_token_id: 2 } });
    const { dir } = await exported(tinyGpt2());
    expect(await readdir(dir)).not.toContain('genai_config.json');
  });

  test('has its weights beside it, where loaders look for them', async () => {
    const model = tinyGpt2();
    const { dir, run } = await exported(model, { externalData: true });
    expect((await readdir(join(dir, 'onnx'))).sort()).toEqual(['model.onnx', 'model.onnx_data']);
    expect(JSON.parse(await readFile(join(dir, 'config.json'), 'utf8'))).toMatchObject({
      'transformers.js_config': { use_external_data_format: true },
    });
    expect(distance((await run([text])).logits, await logitsOf(model, text))).toBeLessThan(near);
  });

  test('keeps f16 weights as they are', async () => {
    const source = memoryFiles();
    await saveModel(tinyLlama({ hiddenSize: 64, heads: 4, headDim: 16, intermediateSize: 128 }), source, { executor });
    const sizeOf = async (model: CausalLM): Promise<number> => {
      const { dir, run } = await exported(model);
      expect(distance((await run([text])).logits, await logitsOf(model, text))).toBeLessThan(near);
      return (await stat(join(dir, 'onnx/model.onnx'))).size;
    };
    const [half, whole] = [
      await sizeOf(await loadModel(source, { dtype: 'f16' })),
      await sizeOf(await loadModel(source)),
    ];
    const matrices = 2 * 13 * 64 + 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64);
    expect(whole - half).toBeGreaterThan(2 * matrices * 0.95);
  });

  test('reads long texts as short ones, which the executor takes in blocks', async () => {
    const model = tinyLlama({ maxPositions: 512 });
    const { run } = await exported(model);
    const long = Array.from({ length: 300 }, (_, i) => text[(i * i) % text.length]!);
    const wanted = await logitsOf(model, long);
    const first = await run([long.slice(0, 170)]);
    const next = await run([long.slice(170)], { past: first.past });
    expect(distance(first.logits, wanted.subarray(0, 170 * 13))).toBeLessThan(near);
    expect(distance(next.logits, wanted.subarray(170 * 13))).toBeLessThan(near);
  });

  test('refuses ids and positions that its tables lack', async () => {
    const { run } = await exported(tinyLlama(), { context: 8 });
    await expect(run([[13]])).rejects.toThrow(/out of data bounds/);
    await expect(run([[1]], { positions: [[8]] })).rejects.toThrow(/out of data bounds/);
    expect((await run([[1]], { positions: [[7]] })).logits).toHaveLength(13);
  });

  test('takes prompts in front of the tokens only without a cache', async () => {
    const model = await shaken(attach(tinyGpt2(), [promptTuning({ length: 3 })]));
    await expect(exportModel(model, memoryFiles(), { executor })).rejects.toMatchObject({ code: 'not-mergeable' });
    const { run } = await exported(model, { cache: false });
    for (const rows of [[text], [text.slice(0, 5), text.slice(5, 10)], [[3]]])
      expect(distance((await run(rows)).logits, await logitsOf(model, ...rows))).toBeLessThan(near);
  });
});

test('an encoder reads texts of any number and length', async () => {
  const model = tinyBert({ maxPositions: 14 });
  const { inputs, run } = await exported(model);
  expect(Object.keys(inputs)).toEqual(['input_ids', 'attention_mask', 'token_type_ids']);
  for (const rows of [[text.slice(0, 5)], [text.slice(0, 9), text.slice(4, 13)]]) {
    const types = rows.map((row) => row.map((_, t) => Number(t > 3)));
    const { wanted } = await evaluate(
      { wanted: model.outputs({ ids: tokens(...rows), tokenTypes: tokens(...types) }) },
      { executor },
    );
    expect(distance((await run(rows, { types })).logits, wanted!)).toBeLessThan(near);
    const mask = rows.map((row) => [...row.map(() => 1), 0, 0]);
    const padded = await run(
      rows.map((row) => [...row, 0, 0]),
      { types: types.map((row) => [...row, 0, 0]), mask },
    );
    expect(distance(padded.logits, wanted!)).toBeLessThan(near);
  }
  const long = [Array<number>(15).fill(1)];
  await expect(run(long, { types: long })).rejects.toThrow(/out of data bounds/);
});

const apart = { relative_attention: true, pos_att_type: ['p2c', 'c2p'], position_biased_input: false };

test.each([
  ['deberta', { ...apart, max_relative_positions: 6 }],
  ['deberta-v2', { ...apart, position_buckets: 6, conv_kernel_size: 3 }],
  ['mpnet', {}],
])('positions that %s reads from each row to each other are of any number and length', async (model_type, fields) => {
  const sizes = { vocab_size: 40, hidden_size: 8, num_attention_heads: 2, num_hidden_layers: 2, intermediate_size: 12 };
  const config = await parseConfig({ model_type, ...sizes, max_position_embeddings: 40, ...fields });
  const model = buildModel(config, tinyWeights(1), sequenceClassifier({ labels: 3 }));
  const { run } = await exported(model);
  // Without the id of padding, which takes no position in MPNet.
  const whole = text.map((id) => 2 + (id % 38));
  for (const rows of [[whole.slice(0, 5)], [whole, whole.toReversed()]]) {
    const { wanted } = await evaluate({ wanted: model.outputs({ ids: tokens(...rows) }) }, { executor });
    expect(distance((await run(rows)).logits, wanted!)).toBeLessThan(near);
  }
});

test('tokens of RoBERTa are placed without their padding, on either side or among them', async () => {
  const sizes = { vocab_size: 40, hidden_size: 8, num_attention_heads: 2, num_hidden_layers: 2, intermediate_size: 12 };
  const config = await parseConfig({ model_type: 'roberta', ...sizes, max_position_embeddings: 24, pad_token_id: 1 });
  const model = buildModel(config, tinyWeights(1), tokenClassifier({ labels: 3 }));
  const { run } = await exported(model);
  const words = [0, 5, 9, 7, 2];
  for (const [row, mask] of [
    [words, [1, 1, 1, 1, 1]],
    [
      [...words, 1, 1],
      [1, 1, 1, 1, 1, 0, 0],
    ],
    [
      [1, 1, ...words],
      [0, 0, 1, 1, 1, 1, 1],
    ],
    [
      [0, 1, 5, 9, 1, 7, 2],
      [1, 0, 1, 1, 0, 1, 1],
    ],
  ] as const) {
    const { wanted } = await evaluate(
      { wanted: model.outputs({ ids: tokens(row), mask: constant(Float32Array.from(mask), [1, mask.length]) }) },
      { executor },
    );
    const { logits } = await run([row], { mask: [mask], types: [row.map(() => 0)] });
    const kept = (all: ArrayLike<number>): number[] => Array.from(all).filter((_, i) => mask[Math.floor(i / 3)] === 1);
    expect(distance(kept(logits), kept(wanted!))).toBeLessThan(near);
  }
});

test('a decoder that tells classes by the last token of a text reads texts of any number and length', async () => {
  const task = sequenceClassifier({ labels: 3 });
  const model = buildModel(tinyConfig, randomWeights(tinyConfig, 4, task), task);
  const { inputs, run } = await exported(model);
  expect(Object.keys(inputs)).toEqual(['input_ids', 'attention_mask']);
  for (const rows of [[text.slice(0, 5)], [text.slice(0, 9), text.slice(4, 13), text.slice(2, 11)], [[7]]]) {
    const { wanted } = await evaluate({ wanted: model.outputs({ ids: tokens(...rows) }) }, { executor });
    const mask = rows.map((row) => [...row.map(() => 1), 0, 0]);
    for (const got of [
      await run(rows),
      await run(
        rows.map((row) => [...row, 5, 5]),
        { mask },
      ),
    ])
      expect(distance(got.logits, wanted!)).toBeLessThan(near);
  }
});

describe('refused are', () => {
  const files = memoryFiles();
  test('encoder-decoders', async () => {
    await expect(exportModel(tinyT5(), files, { executor })).rejects.toThrow(
      /t5 has encoder and decoder.*files of their own/,
    );
  });
  test('models of pictures', async () => {
    await expect(exportModel(tinyVit(), memoryFiles(), { executor })).rejects.toThrow(
      /vit reads pictures.*read tokens/,
    );
  });

  test('a cache of an encoder', async () => {
    await expect(exportModel(tinyBert(), files, { executor, cache: true })).rejects.toThrow(/cache is for decoders/);
  });
  test('more positions than the model has', async () => {
    await expect(exportModel(tinyGpt2(), files, { executor, context: 65 })).rejects.toThrow(/at most 64/);
  });
  test('options that there are not, and nothing is written', async () => {
    await expect(exportModel(tinyGpt2(), files, { executor, past: true } as never)).rejects.toMatchObject({
      code: 'bad-option',
    });
    expect(await files.list()).toEqual([]);
  });
});
