import { add, concat, constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test } from 'vitest';
import {
  type Around,
  type BartConfig,
  buildModel,
  type GenerationConfig,
  generate,
  generator,
  type KeyValue,
  type KvCache,
  parseConfig,
  seq2seqLM,
  type TaskModel,
} from '../src/index.ts';
import { tinyBert, tinyT5 } from '../src/testing/index.ts';
import { tokens } from './run.ts';
import { tinyWeights } from './tiny.ts';

const tinyBart = async (): Promise<TaskModel> => {
  const config = (await parseConfig({
    model_type: 'bart',
    vocab_size: 13,
    d_model: 8,
    max_position_embeddings: 40,
    encoder_layers: 1,
    decoder_layers: 2,
    encoder_attention_heads: 2,
    decoder_attention_heads: 2,
    encoder_ffn_dim: 10,
    decoder_ffn_dim: 10,
    eos_token_id: null,
    decoder_start_token_id: 2,
  })) as BartConfig;
  return buildModel(config, tinyWeights(3), seq2seqLM());
};

const executor = reference();
const prompts = [
  [1, 5, 2],
  [7, 7, 3, 12, 4, 1, 9],
] as const;

const values = (shape: readonly number[], salt: number): Tensor =>
  constant(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 1.7 + salt)),
    shape,
  );
const perSequence = (one: Tensor, batch: number): Tensor =>
  Array.from({ length: batch - 1 }).reduce<Tensor>((all) => concat(all, one, { axis: 0 }), one);
const rows: Around<'embed'> = (x, next, { pass }) =>
  concat(perSequence(values([1, 2, 8], 1), pass.batch), next(x), { axis: 1 });
/** Keys and values in front of those that attention has. */
const front = ({ k, v }: KeyValue, batch: number): KeyValue => {
  const [, heads, , dim] = k.shape as readonly [number, number, number, number];
  const own = (salt: number): Tensor => perSequence(values([1, heads, 2, dim], salt), batch);
  return { k: concat(own(2), k, { axis: 2 }), v: concat(own(3), v, { axis: 2 }) };
};
const inFront: Around<'kv'> = (kv, next, { pass }) => front(next(kv), pass.batch);
const inFrontOfEncoder: Around<'crossKv'> = (kv, next, { pass }) => front(next(kv), pass.batch);
const moved: Around<'crossKv'> = ({ k, v }, next) => next({ k: add(k, 0.5), v: add(v, -0.25) });
const at = <T>(paths: readonly string[], around: T): ReadonlyMap<string, readonly T[]> =>
  new Map(paths.map((path) => [path, [around]]));

const variants = (base: TaskModel): readonly (readonly [string, TaskModel])[] => {
  const [encoder, decoder] = base.paths('embed') as readonly [string, string];
  const kv = at(base.main.paths('kv'), inFront);
  return [
    ['the model alone', base],
    ['rows in front of the prompt', base.with({ around: { embed: at([encoder], rows) } })],
    ['rows in front of the answer', base.with({ around: { embed: at([decoder], rows) } })],
    ['keys in front of both', base.with({ around: { kv, crossKv: at(base.paths('crossKv'), inFrontOfEncoder) } })],
    [
      'keys of the encoder changed before they are kept',
      base.with({ around: { crossKv: at(base.paths('crossKv'), moved) } }),
    ],
  ];
};

/** Greedy tokens without any cache: prompt and answer again for each one. */
const uncached = async (
  model: TaskModel,
  prompt: readonly number[],
  start: number,
  count: number,
): Promise<number[]> => {
  const answer = [start];
  for (let i = 0; i < count; i++) {
    const logits = model.outputs({ ids: tokens(prompt), decoderIds: tokens(answer) });
    const { l } = await evaluate({ l: logits }, { executor });
    const last = l!.slice(-model.config.vocabSize);
    answer.push(last.indexOf(Math.max(...last)));
  }
  return answer.slice(1);
};

describe.each([
  ['t5', tinyT5({}, 3)],
  ['bart', await tinyBart()],
])('%s', (_, base) => {
  const start = base.config.decoderStartId!;

  test.each(variants(base))('%s: equals recomputing all, alone and in a batch of other lengths', async (_, model) => {
    const expected = [await uncached(model, prompts[0], start, 9), await uncached(model, prompts[1], start, 9)];
    const made = generator(model, { executor, context: 12 });
    expect(await made.generate([prompts[0]], { maxTokens: 9 })).toEqual([expected[0]]);
    expect(await made.generate(prompts, { maxTokens: 9 })).toEqual(expected);
    await made.close();
  });

  test.each(variants(base))('%s: as many beams as there are texts find the likeliest of all', async (_, model) => {
    // Of two tokens there are 13², and each beam is one of the first.
    const [found] = await generate(model, { executor, prompt: [prompts[1]], maxTokens: 2, beams: 13 });
    const { vocabSize } = model.config;
    const logProbs = async (answer: readonly number[]): Promise<number[]> => {
      const logits = model.outputs({ ids: tokens(prompts[1]), decoderIds: tokens([start, ...answer]) });
      const own = [...(await evaluate({ logits }, { executor }))['logits']!.slice(-vocabSize)];
      const total = Math.log(own.reduce((sum, l) => sum + Math.exp(l), 0));
      return own.map((l) => l - total);
    };
    const first = await logProbs([]);
    const scores = await Promise.all(first.map(async (p, a) => (await logProbs([a])).map((q) => p + q)));
    const best = Math.max(...scores.flat());
    expect(found).toEqual(scores.flatMap((row, a) => row.flatMap((score, b) => (score === best ? [[a, b]] : [])))[0]);
  });

  test('beams of a row do not depend on the others', async () => {
    const options = { executor, maxTokens: 8, beams: 3, stop: [4, 7] };
    const together = await generate(base, { ...options, prompt: prompts });
    expect(together).toEqual([
      await generate(base, { ...options, prompt: prompts[0] }),
      await generate(base, { ...options, prompt: prompts[1] }),
    ]);
  });

  test('begins with the token that a call says', async () => {
    const other = start + 3;
    const given = { executor, prompt: prompts[0], maxTokens: 4 };
    expect(await generate(base, { ...given, startToken: other })).toEqual(await uncached(base, prompts[0], other, 4));
    expect((await generate(base, { ...given, firstToken: 11 }))[0]).toBe(11);
    expect((await generate(base, { ...given, lastTokens: [12] })).at(-1)).toBe(12);
    expect(await messageOf('bad-option', () => generate(base, { ...given, startToken: 13 }))).toContain('0 to 12');
    expect(await messageOf('bad-option', () => generate(base, { ...given, firstToken: 13 }))).toContain('0 to 12');
  });

  test('the encoder runs in the first pass alone', () => {
    const calls: string[] = [];
    const seen: Around<'block'> = (x, next, { tower }) => {
      calls.push(tower.name);
      return next(x);
    };
    const model = base.with({ around: { block: at(base.paths('block'), seen) } });
    const stored = new Map<string, KeyValue>();
    const cache = (continues: boolean): KvCache => ({
      append: (_, own) => own,
      cross: (path, theirs) => stored.get(path) ?? stored.set(path, theirs!).get(path)!,
      offset: null,
      continues,
      recall: () => constant(new Float32Array(1), [1]),
      keep: () => {},
    });
    const decoderIds = tokens([start]);
    model.states({ ids: tokens(prompts[0]), decoderIds }, { cache: cache(false) });
    expect(new Set(calls)).toEqual(new Set(['encoder', 'decoder']));
    calls.length = 0;
    const mask = constant(Float32Array.of(1, 1, 1), [1, 3]);
    const positions = constant(Int32Array.of(1), [1]);
    const states = model.states({ decoderIds, mask }, { cache: cache(true), positions });
    expect(new Set(calls)).toEqual(new Set(['decoder']));
    expect([...states.byTower.keys()]).toEqual(['decoder']);
    expect(() => model.states({ decoderIds }, { cache: cache(true), positions })).toThrow(/does not run the encoder/);
  });
});

test('refuses what no text can come of', async () => {
  const t5 = tinyT5();
  const given = { executor, prompt: prompts[0], maxTokens: 3 };
  const noStart = tinyT5({ decoderStartId: null });
  expect(await messageOf('bad-config', () => generate(noStart, given))).toContain('decoder_start_token_id');
  expect(await messageOf('bad-option', () => generate(t5, { ...given, beams: 2, temperature: 1 }))).toContain(
    'beams 2',
  );
  expect(await messageOf('bad-data', () => generate(t5, { ...given, prompt: [] }))).toContain('prompt 0 is empty');
  const bart = await tinyBart();
  const long = Array.from({ length: 41 }, () => 3);
  expect(await messageOf('bad-data', () => generate(bart, { ...given, prompt: long }))).toContain('room for 40');
  expect(await messageOf('bad-data', () => generate(bart, { ...given, maxTokens: 40 }))).toContain('context of 40');
  expect(await messageOf('bad-option', () => generate(tinyBert(), given))).toContain('no logits');
  const config = { maxLength: 1, eosIds: [], bosId: null, padId: null, unsupported: [] } as unknown as GenerationConfig;
  const { maxTokens: _, ...open } = given;
  expect(await messageOf('bad-data', () => generate(t5, { ...open, config }))).toContain('max_length 1');
});
