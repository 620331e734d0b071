import { grad } from '@peftjs/autograd';
import { concat, constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import {
  type Around,
  type AroundTable,
  buildModel,
  type Inputs,
  type Linear,
  maskedLM,
  meanOf,
  parameters,
  type SiteName,
  seq2seqLM,
  siteNames,
  type TaskModel,
} from '../src/index.ts';
import { tinyBertConfig, tinyT5Config } from '../src/testing/index.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { tinyWeights } from './tiny.ts';

const bert = { ...tinyBertConfig, maxPositions: 16 };
const t5 = { ...tinyT5Config, headDim: 4 };

const ids = [3, 1, 4, 1, 5];
const floats = (...row: readonly number[]): Tensor => constant(Float32Array.from(row), [1, row.length]);
const labels = tokens([1, -100, 1, 5, 0]);

/** A model, its inputs, the same inputs with padding (`at` tokens in front of those read), and where a token may not be seen. */
const cases: readonly (readonly [name: string, model: TaskModel, inputs: Inputs, padded: Inputs])[] = [
  [
    'bert',
    buildModel(bert, tinyWeights(), maskedLM()),
    { ids: tokens(ids), labels },
    { ids: tokens([...ids, 0, 7]), mask: floats(1, 1, 1, 1, 1, 0, 0) },
  ],
  [
    't5',
    buildModel(t5, tinyWeights(), seq2seqLM()),
    { ids: tokens(ids), decoderIds: tokens([0, 2, 3, 6, 1]), labels },
    {
      ids: tokens([...ids, 0, 7]),
      mask: floats(1, 1, 1, 1, 1, 0, 0),
      decoderIds: tokens([0, 2, 3, 6, 1, 9]),
      decoderMask: floats(1, 1, 1, 1, 1, 0),
    },
  ],
];

describe.each(cases)('%s', (_, model, inputs, padded) => {
  test('padding changes nothing', async () => {
    const alone = await valuesOf(model.outputs(inputs));
    const logits = await valuesOf(model.outputs(padded));
    expect(distance(logits.slice(0, alone.length), alone)).toBeLessThan(1e-5);
  });

  test('what a mask does not hide is seen', async () => {
    const { mask: _mask, ...open } = padded;
    const [a, b] = [await valuesOf(model.outputs(padded)), await valuesOf(model.outputs(open))];
    expect(distance(a, b)).toBeGreaterThan(1e-3);
  });

  test('each site is passed once per path, in its own tower', async () => {
    const seen: string[] = [];
    const watch: Around<SiteName> = (x, next, { path, tower }) => {
      seen.push(path);
      if (path !== '') expect(model.towers.find((t) => siteNames.some((s) => t.paths(s).includes(path)))).toBe(tower);
      return next(x as never);
    };
    const around = Object.fromEntries(
      siteNames.map((site) => [site, new Map(model.paths(site).map((path) => [path, [watch]]))]),
    ) as unknown as AroundTable;
    const watched = await valuesOf(model.with({ around }).outputs(inputs));
    expect(watched).toEqual(await valuesOf(model.outputs(inputs)));
    expect(seen.sort()).toEqual(siteNames.flatMap((site) => model.paths(site)).sort());
  });

  test('gradients equal differences in every weight, and are the same where blocks are recomputed', async () => {
    const executor = reference();
    const all = [...parameters(model)];
    const lossOf = (recompute: boolean): Tensor => meanOf(model.loss(inputs, { recompute }));
    const gradientsOf = async (recompute: boolean): Promise<Record<string, ArrayLike<number>>> => {
      const found = grad(
        lossOf(recompute),
        all.map(([, v]) => v),
      );
      return evaluate(Object.fromEntries(all.map(([name], i) => [name, found[i]!])), { executor });
    };
    const [stored, recomputed] = [await gradientsOf(false), await gradientsOf(true)];
    for (const [name, v] of all) {
      expect(distance(recomputed[name]!, stored[name]!), name).toBeLessThan(1e-6);
      const values = Float32Array.from(await executor.read(v));
      const direction = Float32Array.from(values, (_, i) => Math.sin(i + 1));
      const slope = direction.reduce((s, d, i) => s + d * stored[name]![i]!, 0);
      const losses: number[] = [];
      for (const step of [1e-3, -1e-3]) {
        await executor.write(
          v,
          values.map((x, i) => x + step * direction[i]!),
        );
        losses.push((await evaluate({ loss: lossOf(false) }, { executor }))['loss']![0]!);
      }
      executor.release([v]);
      expect(Math.abs((losses[0]! - losses[1]!) / 2e-3 - slope), name).toBeLessThan(
        5e-3 * Math.max(1, Math.abs(slope)),
      );
    }
  });
});

test('token types count, and by default all are the first', async () => {
  const [, model, inputs] = cases[0]!;
  const typed = (...types: readonly number[]): Promise<number[]> =>
    valuesOf(model.outputs({ ...inputs, tokenTypes: tokens(types) }));
  const plain = await valuesOf(model.outputs(inputs));
  expect(distance(await typed(0, 0, 0, 0, 0), plain)).toBeLessThan(1e-6);
  expect(distance(await typed(0, 0, 1, 1, 1), plain)).toBeGreaterThan(1e-3);
  expect(() => model.outputs({ ...inputs, tokenTypes: tokens([0, 1]) })).toThrow(/tokenTypes: must be i32 \[1, 5\]/);
});

test('a decoder beside an encoder sees no later token, but all rows that stand before the encoder', async () => {
  const [, model, inputs] = cases[1]!;
  const of = (m: TaskModel, decoder: readonly number[]): Promise<number[]> =>
    valuesOf(m.outputs({ ...inputs, decoderIds: tokens(decoder) }));
  const [a, b] = [await of(model, [0, 2, 3, 6, 1]), await of(model, [0, 2, 3, 9, 1])];
  expect(a.slice(0, 3 * 13)).toEqual(b.slice(0, 3 * 13));
  expect(distance(a.slice(3 * 13), b.slice(3 * 13))).toBeGreaterThan(1e-3);
  const front: Around<'embed'> = (x, next) =>
    concat(constant(new Float32Array(16).fill(1), [1, 2, 8]), next(x), { axis: 1 });
  const soft = model.with({ around: { embed: new Map([['encoder.embed_tokens', [front]]]) } });
  const shown = await of(soft, [0, 2, 3, 6, 1]);
  expect(shown).toHaveLength(a.length);
  expect(distance(shown, a)).toBeGreaterThan(1e-3);
});

test("keys and values of cross-attention are told of the sequence that their rows are of, not the decoder's", () => {
  const model = cases[1]![1];
  const seen = new Map<string, string>();
  const watched = [...model.linears].map(([path, layer]) => {
    const apply: Linear['apply'] = (x, call) => {
      seen.set(path, `${call.sequence.tower} ${call.sequence.tokens} ${call.sequence.mask?.shape}`);
      return layer.apply(x, call);
    };
    return [path, { ...layer, apply }] as const;
  });
  const mask = floats(1, 1, 1, 0, 0);
  model.with({ linears: new Map(watched) }).outputs({ ids: tokens(ids), mask, decoderIds: tokens([0, 2, 3]), labels });
  const cross = 'decoder.block.0.layer.1.EncDecAttention';
  expect(seen.get(`${cross}.k`)).toBe('encoder 5 1,5');
  expect(seen.get(`${cross}.v`)).toBe('encoder 5 1,5');
  expect(seen.get(`${cross}.q`)).toBe('decoder 3 undefined');
  expect(seen.get('encoder.block.0.layer.0.SelfAttention.k')).toBe('encoder 5 1,5');
});
