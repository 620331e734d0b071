import { grad } from '@peftjs/autograd';
import {
  add,
  broadcastTo,
  concat,
  constant,
  evaluate,
  mul,
  reference,
  reshape,
  type Tensor,
  transpose,
  variable,
} from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import {
  type Around,
  type AroundTable,
  type CausalLM,
  denseLinear,
  type Linear,
  llama,
  type Path,
  parameters,
  type SiteContext,
  type SiteName,
  viaDense,
} from '../src/index.ts';
import { naiveLogits, naiveLoss } from './naive-llama.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { tinyConfig, tinyWeights } from './tiny.ts';

const config = tinyConfig();
const weights = tinyWeights();
const model = llama(config, weights);
const ids = [3, 1, 4, 1, 5];
const sites: readonly SiteName[] = ['embed', 'block', 'attn', 'mlp', 'norm', 'kv', 'head'];

const tableOf = <S extends SiteName>(site: S, ...chain: readonly Around<S>[]): AroundTable => ({
  [site]: new Map(model.paths(site).map((path) => [path, chain])),
});

const rowsOf = (count: number, width: number, salt: number): number[][] =>
  Array.from({ length: count }, (_, i) => Array.from({ length: width }, (_, j) => Math.sin(1 + i * 3 + j * 7 + salt)));

const prompt = rowsOf(3, config.hiddenSize, 0);
const soften: Around<'embed'> = (x, next) =>
  concat(constant(Float32Array.from(prompt.flat()), [1, 3, config.hiddenSize]), next(x), { axis: 1 });

const prefix = { keys: [rowsOf(2, 12, 1), rowsOf(2, 12, 2)], values: [rowsOf(2, 12, 3), rowsOf(2, 12, 4)] };
const heads = (rows: readonly (readonly number[])[]): Tensor =>
  transpose(constant(Float32Array.from(rows.flat()), [1, 2, 2, 6]), [0, 2, 1, 3]);
const withPrefix: Around<'kv'> = (kv, next, { layer }) => {
  const { k, v } = next(kv);
  return {
    k: concat(heads(prefix.keys[layer!]!), k, { axis: 2 }),
    v: concat(heads(prefix.values[layer!]!), v, { axis: 2 }),
  };
};

describe('sites', () => {
  test('have the paths of Hugging Face modules', () => {
    expect(Object.fromEntries(sites.map((site) => [site, model.paths(site)]))).toEqual({
      embed: ['model.embed_tokens'],
      block: ['model.layers.0', 'model.layers.1'],
      attn: ['model.layers.0.self_attn', 'model.layers.1.self_attn'],
      mlp: ['model.layers.0.mlp', 'model.layers.1.mlp'],
      norm: [
        ...[0, 1].flatMap((i) => [`model.layers.${i}.input_layernorm`, `model.layers.${i}.post_attention_layernorm`]),
        'model.norm',
      ],
      kv: ['model.layers.0.self_attn', 'model.layers.1.self_attn'],
      head: ['lm_head'],
    });
    expect([...model.linears.keys()].filter((p) => p.includes('.0.') || !p.includes('layers'))).toEqual([
      ...['q', 'k', 'v', 'o'].map((n) => `model.layers.0.self_attn.${n}_proj`),
      ...['gate', 'up', 'down'].map((n) => `model.layers.0.mlp.${n}_proj`),
      'lm_head',
    ]);
    expect([...model.embeddings.keys()]).toEqual(['model.embed_tokens']);
    expect([...model.norms.keys()].sort()).toEqual([...model.paths('norm')].sort());
  });

  test('each is passed once per path, and told where it is', async () => {
    const seen: SiteContext[] = [];
    const watch: Around<SiteName> = (x, next, context) => (seen.push(context), next(x as never));
    const around: AroundTable = Object.assign({}, ...sites.map((site) => tableOf(site, watch as never)));
    const logits = model.with({ around }).logits(tokens(ids, ids));
    expect(await valuesOf(logits)).toEqual(await valuesOf(model.logits(tokens(ids, ids))));
    expect(seen.map((c) => c.path).sort()).toEqual(sites.flatMap((site) => model.paths(site)).sort());
    for (const { path, layer } of seen)
      expect(layer).toBe(/layers\.(\d)/.exec(path)?.[1] === undefined ? null : Number(/layers\.(\d)/.exec(path)![1]));
    expect(new Set(seen.map((c) => c.pass)).size).toBe(1);
    expect(seen[0]!.pass).toMatchObject({ batch: 2, tokens: 5, keyMask: null, positions: null, continues: false });
  });

  test.each(sites)('%s: later middleware wraps earlier, in one call of with or in two', (site) => {
    const calls: string[] = [];
    const named =
      (name: string): Around<SiteName> =>
      (x, next) => (calls.push(name), next(x as never));
    const path = model.paths(site)[0]!;
    const at = (...chain: readonly Around<SiteName>[]): AroundTable =>
      ({ [site]: new Map([[path, chain]]) }) as AroundTable;
    model.with({ around: at(named('inner'), named('outer')) }).hidden(tokens(ids));
    model
      .with({ around: at(named('inner')) })
      .with({ around: at(named('outer')) })
      .hidden(tokens(ids));
    expect(calls).toEqual(['outer', 'inner', 'outer', 'inner']);
  });

  test('block, attn, mlp, norm and head are where their output is used', async () => {
    const base = await valuesOf(model.logits(tokens(ids)));
    for (const site of ['block', 'attn', 'mlp', 'norm', 'head'] as const) {
      const doubled = model.with({
        around: tableOf(site, (x: Tensor, next: (x: Tensor) => Tensor) => mul(next(x), 2)),
      });
      const skipped = model.with({ around: tableOf(site, (x: Tensor) => x) });
      expect(distance(await valuesOf(doubled.logits(tokens(ids))), base), site).toBeGreaterThan(1e-3);
      expect(distance(await valuesOf(skipped.logits(tokens(ids))), base), site).toBeGreaterThan(1e-3);
    }
    const doubledHead = model.with({
      around: tableOf('head', (x: Tensor, next: (x: Tensor) => Tensor) => mul(next(x), 2)),
    });
    expect(
      distance(
        await valuesOf(doubledHead.logits(tokens(ids))),
        base.map((l) => 2 * l),
      ),
    ).toBeLessThan(1e-6);
  });
});

describe('rows in front', () => {
  test('of embed take the first positions and are dropped again', async () => {
    const soft = model.with({ around: tableOf('embed', soften) });
    const expected = naiveLogits(config, weights.values, ids, { prompt });
    expect(distance(await valuesOf(soft.logits(tokens(ids))), expected.flat())).toBeLessThan(2e-6);
    const labels = [1, -100, 1, 5, 0];
    expect((await valuesOf(soft.loss(tokens(ids), tokens(labels))))[0]).toBeCloseTo(naiveLoss(expected, labels), 6);
    expect(soft.hidden(tokens(ids)).shape).toEqual([1, 5, config.hiddenSize]);
  });

  test('of kv are seen by every token', async () => {
    const prefixed = model.with({ around: tableOf('kv', withPrefix) });
    expect(
      distance(
        await valuesOf(prefixed.logits(tokens(ids))),
        naiveLogits(config, weights.values, ids, { prefix }).flat(),
      ),
    ).toBeLessThan(2e-6);
  });

  test('of both go with padding, where positions start again', async () => {
    const both = model.with({ around: { ...tableOf('kv', withPrefix), ...tableOf('embed', soften) } });
    const keyMask = constant(Float32Array.of(0, 0, 1, 1, 1, 1, 1), [1, 7]);
    const expected = naiveLogits(config, weights.values, ids, { prefix, prompt }).flat();
    for (const shape of [[7], [1, 7]]) {
      const positions = constant(Int32Array.of(0, 0, 0, 1, 2, 3, 4), shape);
      const logits = await valuesOf(both.logits(tokens([0, 0, ...ids]), { keyMask, positions }));
      expect(distance(logits.slice(2 * config.vocabSize), expected)).toBeLessThan(2e-6);
    }
  });

  test('positionShift moves tokens away from a prefix, and changes nothing without one', async () => {
    const shifted = model.with({ positionShift: 2 });
    expect(
      distance(await valuesOf(shifted.logits(tokens(ids))), await valuesOf(model.logits(tokens(ids)))),
    ).toBeLessThan(1e-5);
    const prefixed = model.with({ around: tableOf('kv', withPrefix) });
    const moved = await valuesOf(prefixed.with({ positionShift: 1 }).with({ positionShift: 1 }).logits(tokens(ids)));
    const positions = constant(Int32Array.of(2, 3, 4, 5, 6), [5]);
    expect(distance(moved, await valuesOf(prefixed.logits(tokens(ids), { positions })))).toBeLessThan(1e-6);
    expect(distance(moved, await valuesOf(prefixed.logits(tokens(ids))))).toBeGreaterThan(1e-3);
  });

  test('fewer rows, or rows of another width, are refused', () => {
    const narrow = model.with({
      around: tableOf('embed', (x: Tensor) => broadcastTo(constant(Float32Array.of(0), []), [1, x.shape[1]!, 3])),
    });
    expect(() => narrow.hidden(tokens(ids))).toThrow(/embed: got 1x5x3 f32; must give \[1, 5 or more, 8\]/);
  });
});

describe('with', () => {
  const q: Path = 'model.layers.0.self_attn.q_proj';

  test('replaces linears, norms and embeddings by path and leaves the base as it was', async () => {
    const before = await valuesOf(model.logits(tokens(ids)));
    const doubled = (path: Path): Linear =>
      viaDense(model.linears.get(path)!, ({ weight, bias }) => ({ weight: mul(weight, 2), bias }));
    const norm = model.norms.get('model.norm')!;
    const embed = model.embeddings.get('model.embed_tokens')!;
    const changed = model
      .with({ linears: new Map([['lm_head', doubled('lm_head')]]) })
      .with({
        norms: new Map([
          [
            'model.norm',
            norm.encode({ weight: mul(norm.weight, 3), bias: constant(new Float32Array(8).fill(1), [8]) }),
          ],
        ]),
      })
      .with({ embeddings: new Map([['model.embed_tokens', embed.encode(mul(embed.weight, 0.5))]]) });
    const values = new Map<string, ArrayLike<number>>(weights.values);
    const scaled = (name: string, by: number): void =>
      void values.set(
        name,
        Array.from(values.get(name)!, (v) => v * by),
      );
    scaled('model.embed_tokens.weight', 0.5);
    scaled('model.norm.weight', 3);
    scaled('lm_head.weight', 2);
    const ones = Array.from({ length: config.vocabSize }, (_, o) =>
      Array.from(values.get('lm_head.weight')!)
        .slice(o * 8, o * 8 + 8)
        .reduce((a, b) => a + b, 0),
    );
    const expected = naiveLogits(config, values, ids).flatMap((row) => row.map((l, o) => l + ones[o]!));
    expect(distance(await valuesOf(changed.logits(tokens(ids))), expected)).toBeLessThan(1e-5);
    expect(await valuesOf(model.logits(tokens(ids)))).toEqual(before);
  });

  test('refuses what the model has not, all of it at once', () => {
    const linear = model.linears.get(q)!;
    const attempt = (): CausalLM =>
      model.with({
        linears: new Map([
          ['nope', linear],
          [q, linear],
        ]),
        around: { mlp: new Map([['nil', []]]) },
      });
    expect(attempt).toThrow(
      /no linear nope \(there are .*q_proj.*\); no site mlp at nil \(there are model\.layers\.0\.mlp/,
    );
    expect(() => model.with({ linears: new Map([[q, model.linears.get('lm_head')!]]) })).toThrow(
      /linear model\.layers\.0\.self_attn\.q_proj is 24x8, its replacement 13x8/,
    );
  });

  test('views that compute a weight have no parameters of their own', () => {
    const view = model.with({
      linears: new Map([[q, viaDense(model.linears.get(q)!, (d) => ({ ...d, weight: mul(d.weight, 2) }))]]),
    });
    expect(() => parameters(view)).toThrow(/model\.layers\.0\.self_attn\.q_proj\.weight are computed/);
  });
});

describe('the loss of a head that is not plain', () => {
  const labels = [1, -100, 1, 5, 0];
  const head = model.linears.get('lm_head')!;
  const bias = variable(
    'bias',
    [config.vocabSize],
    Float32Array.from({ length: config.vocabSize }, (_, i) => Math.cos(i)),
  );

  const check = async (lm: CausalLM): Promise<void> => {
    const logits = await valuesOf(lm.logits(tokens(ids)));
    const rows = ids.map((_, t) => logits.slice(t * config.vocabSize, (t + 1) * config.vocabSize));
    expect((await valuesOf(lm.loss(tokens(ids), tokens(labels))))[0]).toBeCloseTo(naiveLoss(rows, labels), 6);
    expect(await valuesOf(lm.loss(tokens(ids), tokens(ids.map(() => -100))))).toEqual([0]);
  };

  test('has a bias', async () => {
    await check(model.with({ linears: new Map([['lm_head', denseLinear({ ...head.dense(), bias })]]) }));
  });

  test('is what its apply says, with the same gradient', async () => {
    const wrapped: Linear = { ...head, apply: (x) => add(head.apply(x), bias) };
    const plain = model.with({ linears: new Map([['lm_head', denseLinear({ ...head.dense(), bias })]]) });
    const adapted = model.with({ linears: new Map([['lm_head', wrapped]]) });
    await check(adapted);
    const wrt = [bias, parameters(model).get('model.norm.weight')!];
    const of = async (lm: CausalLM): Promise<number[]> => {
      const [a, b] = grad(lm.loss(tokens(ids), tokens(labels)), wrt) as [Tensor, Tensor];
      const { all } = await evaluate({ all: concat(reshape(a, [-1]), b, { axis: 0 }) }, reference());
      return Array.from(all!);
    };
    expect(distance(await of(adapted), await of(plain))).toBeLessThan(1e-7);
  });
});
