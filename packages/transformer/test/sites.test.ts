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
  type Call,
  type CausalLM,
  denseLinear,
  type Linear,
  meanOf,
  type Path,
  parameters,
  type SiteName,
  viaDense,
} from '../src/index.ts';
import { naiveLoss } from './naive.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { siteNames as sites, subjects } from './subjects.ts';

const ids = [3, 1, 4, 1, 5];

describe.each(subjects)('%s', (_, make) => {
  const { config, model, naive, weights } = make();

  const tableOf = <S extends SiteName>(site: S, ...chain: readonly Around<S>[]): AroundTable => ({
    [site]: new Map(model.paths(site).map((path) => [path, chain])),
  });

  const rowsOf = (count: number, width: number, salt: number): number[][] =>
    Array.from({ length: count }, (_, i) =>
      Array.from({ length: width }, (_, j) => Math.sin(1 + i * 3 + j * 7 + salt)),
    );

  const prompt = rowsOf(3, config.hiddenSize, 0);
  const soften: Around<'embed'> = (x, next) =>
    concat(constant(Float32Array.from(prompt.flat()), [1, 3, config.hiddenSize]), next(x), { axis: 1 });

  const keyWidth = 2 * model.main.headDim; // both have two key heads
  const prefix = {
    keys: [rowsOf(2, keyWidth, 1), rowsOf(2, keyWidth, 2)],
    values: [rowsOf(2, keyWidth, 3), rowsOf(2, keyWidth, 4)],
  };
  const heads = (rows: readonly (readonly number[])[]): Tensor =>
    transpose(constant(Float32Array.from(rows.flat()), [1, 2, 2, model.main.headDim]), [0, 2, 1, 3]);
  const withPrefix: Around<'kv'> = (kv, next, { layer }) => {
    const { k, v } = next(kv);
    return {
      k: concat(heads(prefix.keys[layer!]!), k, { axis: 2 }),
      v: concat(heads(prefix.values[layer!]!), v, { axis: 2 }),
    };
  };

  describe('sites', () => {
    test('each is passed once per path, and told where it is', async () => {
      const seen: Call[] = [];
      const watch: Around<SiteName> = (x, next, context) => (seen.push(context), next(x as never));
      const around: AroundTable = Object.assign({}, ...sites.map((site) => tableOf(site, watch as never)));
      const logits = model.with({ around }).logits(tokens(ids, ids));
      expect(await valuesOf(logits)).toEqual(await valuesOf(model.logits(tokens(ids, ids))));
      expect(seen.map((c) => c.path).sort()).toEqual(sites.flatMap((site) => model.paths(site)).sort());
      for (const { path, layer } of seen)
        expect(layer).toBe(/\.(\d)/.exec(path)?.[1] === undefined ? null : Number(/\.(\d)/.exec(path)![1]));
      expect(new Set(seen.map((c) => c.pass)).size).toBe(1);
      expect(seen[0]!.pass).toMatchObject({ batch: 2, training: false });
      expect(seen[0]!.sequence).toEqual({
        tower: 'decoder',
        tokens: 5,
        mask: null,
        positions: null,
        continues: false,
      });
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
      const expected = naive(ids, { prompt });
      expect(distance(await valuesOf(soft.logits(tokens(ids))), expected.flat())).toBeLessThan(2e-6);
      const labels = [1, -100, 1, 5, 0];
      expect((await valuesOf(meanOf(soft.loss({ ids: tokens(ids), labels: tokens(labels) }))))[0]).toBeCloseTo(
        naiveLoss(expected, labels),
        6,
      );
      expect(soft.hidden(tokens(ids)).shape).toEqual([1, 5, config.hiddenSize]);
    });

    test('of kv are seen by every token', async () => {
      const prefixed = model.with({ around: tableOf('kv', withPrefix) });
      expect(distance(await valuesOf(prefixed.logits(tokens(ids))), naive(ids, { prefix }).flat())).toBeLessThan(2e-6);
    });

    test('of both go with padding, where positions start again', async () => {
      const both = model.with({ around: { ...tableOf('kv', withPrefix), ...tableOf('embed', soften) } });
      const mask = constant(Float32Array.of(0, 0, 1, 1, 1, 1, 1), [1, 7]);
      const expected = naive(ids, { prefix, prompt }).flat();
      for (const shape of [[7], [1, 7]]) {
        const positions = constant(Int32Array.of(0, 0, 0, 1, 2, 3, 4), shape);
        const logits = await valuesOf(both.logits(tokens([0, 0, ...ids]), { mask, positions }));
        expect(distance(logits.slice(2 * config.vocabSize), expected)).toBeLessThan(2e-6);
      }
    });

    test('positionShift moves tokens away from a prefix', async () => {
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
    const first: Path = [...model.linears.keys()][0]!;
    const [embedPath, normPath] = [model.paths('embed')[0]!, model.paths('norm').at(-1)!];
    const escaped = (path: Path): string => path.replaceAll('.', '\\.');

    test('replaces linears, norms and embeddings by path and leaves the base as it was', async () => {
      const before = await valuesOf(model.logits(tokens(ids)));
      const doubled = (path: Path): Linear =>
        viaDense(model.linears.get(path)!, ({ weight, bias }) => ({ weight: mul(weight, 2), bias }));
      const norm = model.norms.get(normPath)!;
      const embed = model.embeddings.get(embedPath)!;
      const changed = model
        .with({ linears: new Map([['lm_head', doubled('lm_head')]]) })
        .with({
          norms: new Map([
            [normPath, norm.encode({ weight: mul(norm.weight, 3), bias: constant(new Float32Array(8).fill(1), [8]) })],
          ]),
        })
        .with({ embeddings: new Map([[embedPath, embed.encode(mul(embed.weight, 0.5))]]) });
      const values = new Map<string, ArrayLike<number>>(weights.values);
      const scaled = (name: string, by: number): void =>
        void values.set(
          name,
          Array.from(values.get(name)!, (v) => v * by),
        );
      scaled(`${embedPath}.weight`, 0.5);
      scaled(`${normPath}.weight`, 3);
      scaled('lm_head.weight', 2);
      values.set(`${normPath}.bias`, new Float32Array(8).fill(1));
      const expected = naive(ids, {}, values).flat();
      expect(distance(await valuesOf(changed.logits(tokens(ids))), expected)).toBeLessThan(1e-5);
      expect(await valuesOf(model.logits(tokens(ids)))).toEqual(before);
    });

    test('refuses what the model has not, all of it at once', () => {
      const linear = model.linears.get(first)!;
      const attempt = (): CausalLM =>
        model.with({
          linears: new Map([
            ['nope', linear],
            [first, linear],
          ]),
          around: { mlp: new Map([['nil', []]]) },
        });
      const mlp = escaped(model.paths('mlp')[0]!);
      expect(attempt).toThrow(
        new RegExp(`no linear nope \\(there are .*${escaped(first)}.*\\); no site mlp at nil \\(there are ${mlp}`),
      );
      expect(() => model.with({ linears: new Map([[first, model.linears.get('lm_head')!]]) })).toThrow(
        new RegExp(`linear ${escaped(first)} is 24x8, its replacement 13x8`),
      );
    });

    test('views that compute a weight have no parameters of their own', () => {
      const view = model.with({
        linears: new Map([[first, viaDense(model.linears.get(first)!, (d) => ({ ...d, weight: mul(d.weight, 2) }))]]),
      });
      expect(() => parameters(view)).toThrow(new RegExp(`${escaped(first)}\\.weight are computed`));
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
      expect((await valuesOf(meanOf(lm.loss({ ids: tokens(ids), labels: tokens(labels) }))))[0]).toBeCloseTo(
        naiveLoss(rows, labels),
        6,
      );
      expect(await valuesOf(meanOf(lm.loss({ ids: tokens(ids), labels: tokens(ids.map(() => -100)) })))).toEqual([0]);
    };

    test('has a bias', async () => {
      await check(model.with({ linears: new Map([['lm_head', denseLinear({ ...head.dense(), bias })]]) }));
    });

    test('is what its apply says, with the same gradient', async () => {
      const wrapped: Linear = { ...head, apply: (x, call) => add(head.apply(x, call), bias) };
      const plain = model.with({ linears: new Map([['lm_head', denseLinear({ ...head.dense(), bias })]]) });
      const adapted = model.with({ linears: new Map([['lm_head', wrapped]]) });
      await check(adapted);
      const wrt = [bias, parameters(model).get(`${model.paths('norm').at(-1)!}.weight`)!];
      const of = async (lm: CausalLM): Promise<number[]> => {
        const [a, b] = grad(meanOf(lm.loss({ ids: tokens(ids), labels: tokens(labels) })), wrt) as [Tensor, Tensor];
        const { all } = await evaluate({ all: concat(reshape(a, [-1]), b, { axis: 0 }) }, { executor: reference() });
        return Array.from(all!);
      };
      expect(distance(await of(adapted), await of(plain))).toBeLessThan(1e-7);
    });
  });
});
