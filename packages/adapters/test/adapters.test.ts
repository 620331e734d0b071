import { attach, merge, type Scope } from '@peftjs/core';
import {
  abs,
  constant,
  evaluate,
  matmul,
  mul,
  normalValues,
  type Random,
  randomSource,
  reference,
  sizeOf,
  sub,
  sum,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { buildModel, type CausalLM, cachedUnder, generate, type Model, meanOf } from '@peftjs/transformer';
import {
  distance,
  shake,
  tinyBert,
  tinyConfig,
  tinyGpt2,
  tinyLlama,
  tinyT5,
  tinyWeights,
  tokens,
} from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { activationIn } from '../src/activation.ts';
import {
  adapterPlus,
  type BottleneckOptions,
  bottleneckAdapter,
  compacter,
  compacterPlusPlus,
  diReft,
  hadamardAdapter,
  houlsby,
  ladderSide,
  loReft,
  madX,
  madXHoulsby,
  meft,
  noReft,
  parallelAdapter,
  pfeiffer,
  shadow,
  sideTuning,
} from '../src/index.ts';
import { nice } from '../src/mad-x/invertible.ts';
import { orthogonalRows } from '../src/reft/orthogonal.ts';

const ids = tokens([1, 5, 2, 9], [3, 3, 12, 0]);
const values = async (t: Tensor, r = reference()): Promise<Float32Array> =>
  (await evaluate({ t }, { executor: r }))['t'] as Float32Array;

const shapes = (options: BottleneckOptions): string[] =>
  [...attach(tinyLlama(), [houlsby(options)]).params].map(([name, { shape }]) => `${name} [${shape}]`);

describe('bottleneck adapters', () => {
  test('are named and placed as in the adapters library', () => {
    expect(shapes({ bottleneck: 3, leaveOut: [0] })).toEqual([
      'model.layers.1.attention_adapters.adapters.default.adapter_down.0.weight [3,8]',
      'model.layers.1.attention_adapters.adapters.default.adapter_down.0.bias [3]',
      'model.layers.1.attention_adapters.adapters.default.adapter_up.weight [8,3]',
      'model.layers.1.attention_adapters.adapters.default.adapter_up.bias [8]',
      'model.layers.1.output_adapters.adapters.default.adapter_down.0.weight [3,8]',
      'model.layers.1.output_adapters.adapters.default.adapter_down.0.bias [3]',
      'model.layers.1.output_adapters.adapters.default.adapter_up.weight [8,3]',
      'model.layers.1.output_adapters.adapters.default.adapter_up.bias [8]',
    ]);
    expect([...attach(tinyGpt2(), [pfeiffer()]).params.keys()][0]).toBe(
      'transformer.h.0.output_adapters.adapters.default.adapter_down.0.weight',
    );
  });

  test.each([
    [{ reduction: 2 }, 4],
    [{ reduction: 3 }, 2],
    [{ reduction: 100 }, 1],
    [{ reduction: 0.5 }, 16],
    // 8 / 1.6 rounds to 5, but 1.6 is a little more than 8 / 5: Python's 8 // 1.6 is 4.
    [{ reduction: 1.6 }, 4],
    [{ bottleneck: 5 }, 5],
    [{}, 1],
  ])('%o gives a width of %i', (options, width) => {
    expect(shapes(options)[0]).toContain(`[${width},8]`);
  });

  test('a width in a file is a reduction that gives it', () => {
    const base = tinyLlama();
    for (let bottleneck = 1; bottleneck <= 20; bottleneck++) {
      const again = pfeiffer.fromConfig(pfeiffer({ bottleneck }).config(base));
      expect([...attach(base, [again]).params.values()][0]!.shape).toEqual([bottleneck, 8]);
    }
  });

  test('names of activations are those of the adapters library', () => {
    const base = tinyLlama();
    for (const [ours, there, ...also] of [
      ['silu', 'swish', 'SiLU'],
      ['gelu-tanh', 'gelu_new', 'gelu_pytorch_tanh', 'gelu_fast'],
      ['relu', 'relu'],
      ['leaky-relu', 'leakyrelu', 'leaky_relu'],
      ['gelu-10', 'gelu_10'],
    ] as const) {
      const config = pfeiffer({ activation: ours }).config(base);
      expect(config['non_linearity']).toBe(there);
      for (const name of [there, ...also])
        expect(pfeiffer.optionsOf({ ...config, non_linearity: name }, base).activation).toBe(ours);
    }
    expect(() => pfeiffer.fromConfig({ ...pfeiffer().config(base), non_linearity: 'xielu' })).toThrow('got "xielu"');
  });

  // As torch and transformers compute them.
  test.each([
    ['leaky-relu', [-0.02, -0.003, 0.7, 11]],
    ['relu2', [0, 0, 0.49, 121]],
    ['relu6', [0, 0, 0.7, 6]],
    ['quick-gelu', [-0.0643414, -0.1125159, 0.536894, 11]],
    ['gelu-10', [-0.0455, -0.1146266, 0.5306254, 10]],
    ['mish', [-0.252501, -0.151133, 0.561148, 11]],
    ['laplace', [0, 0.000178, 0.48995, 1]],
    ['linear', [-2, -0.3, 0.7, 11]],
    ['prelu', [-0.5, -0.075, 0.7, 11]],
  ] as const)('%s', async (name, expected) => {
    const scope = { param: (_: string, shape: number[]) => constant(Float32Array.of(0.25), shape) };
    const layer = activationIn(scope as never, name);
    expect(distance(await values(layer(constant(Float32Array.of(-2, -0.3, 0.7, 11), [4]))), expected)).toBeLessThan(
      1e-5,
    );
  });

  test('a reduction may differ from layer to layer', () => {
    const widths = (reduction: Record<string, number>): string[] =>
      [...attach(tinyLlama(), [pfeiffer({ reduction })]).params]
        .filter(([name]) => name.endsWith('adapter_up.weight'))
        .map(([, { shape }]) => String(shape));
    expect(widths({ 1: 2, default: 8 })).toEqual(['8,1', '8,4']);
    expect(() => widths({ 1: 2 })).toThrow('layer 0 has none; there are 1');
  });

  test('stochastic depth drops whole sequences, and makes up for it', async () => {
    const r = reference();
    const base = tinyLlama();
    const adapted = attach(base, [adapterPlus({ bottleneck: 3, stochasticDepth: 0.5, leaveOut: [0] })]);
    await shake(adapted.params, { executor: r });
    const rows = tokens(...Array.from({ length: 16 }, () => [1, 5, 2, 9]));
    const states = async (model: typeof base): Promise<Float32Array> => values(model.states({ ids: rows }).main, r);
    const [plain, evaluated] = [await states(base), await states(adapted.model)];
    const drawn = await states(adapted.training(constant(Uint32Array.of(3), [])) as typeof base);
    const size = plain.length / 16;
    const rowOf = (all: Float32Array, i: number): Float32Array => all.subarray(i * size, (i + 1) * size);
    expect(distance(plain, evaluated)).toBeGreaterThan(1e-3);
    const kinds = Array.from({ length: 16 }, (_, i) => distance(rowOf(drawn, i), rowOf(plain, i)) < 1e-6);
    expect(new Set(kinds).size).toBe(2);
  });

  test('each reads its own file and not the others', () => {
    const base = tinyLlama();
    const factories = [
      houlsby,
      pfeiffer,
      parallelAdapter,
      adapterPlus,
      bottleneckAdapter,
      compacter,
      compacterPlusPlus,
    ];
    for (const one of factories)
      for (const other of factories) {
        const made = one === bottleneckAdapter ? bottleneckAdapter({ originalLnBefore: true }) : one();
        const { peft_type: _, ...config } = made.config(base);
        expect(other.reads(config)).toBe(one === other);
      }
    expect(pfeiffer.reads({ architecture: 'lora' })).toBe(false);
  });

  test('a trained scale multiplies what is added', async () => {
    const r = reference();
    const base = tinyLlama();
    const changed = async (value: number): Promise<Float32Array> => {
      const { model, params } = attach(base, [parallelAdapter({ scale: 'channel' })]);
      await shake(params, { executor: r });
      for (const [name, p] of params)
        if (name.endsWith('scaling')) {
          expect(p.shape).toEqual([8]);
          await r.write(p, new Float32Array(8).fill(value));
        }
      return values(model.logits(ids), r);
    };
    const plain = await values(base.logits(ids));
    expect(distance(await changed(0), plain)).toBe(0);
    expect(distance(await changed(1), plain)).toBeGreaterThan(0.01);
  });

  test('a gate is a mean over the tokens', async () => {
    const r = reference();
    const { model, params } = attach(tinyLlama(), [pfeiffer({ gating: true })]);
    await shake(params, { executor: r });
    const row = async (last: number): Promise<Float32Array> =>
      (await values(model.logits(tokens([1, 5, 2, last])), r)).slice(0, 13);
    expect(distance(await row(9), await row(4))).toBeGreaterThan(1e-5);
    expect([...params.keys()].filter((name) => name.includes('layers.0') && name.includes('gate'))).toHaveLength(2);
  });

  test('say what is wrong', async () => {
    const base = tinyLlama();
    expect(() => houlsby({ reduction: 2, bottleneck: 3 })).toThrow('give either reduction or bottleneck, not both');
    expect(() => houlsby({ scale: 'big' as never, leaveOut: [-1] })).toThrow(
      'scale must be a finite number, learned or channel, got "big"; leaveOut must be a list of numbers of layers',
    );
    expect(() => attach(base, [pfeiffer({ leaveOut: [0, 1] })])).toThrow('no layer is left');
    const config = pfeiffer().config(base);
    expect(() => pfeiffer.fromConfig({ ...config, phm_layer: true, cross_adapter: true, inv_adapter: 'nice' })).toThrow(
      'cross_adapter = true, phm_layer = true, inv_adapter = "nice"',
    );
    expect(() => pfeiffer.fromConfig({ ...config, reduction_factor: { first: 2 } })).toThrow(
      'reduction_factor must be',
    );
    expect(() => attach(base, [compacter({ bottleneck: 3, dimension: 2 })])).toThrow(
      'dimension 2 must divide the hidden size and the width, which are 8 and 3',
    );
    expect(() => parallelAdapter({ stochasticDepth: 0.1 })).toThrow('stochasticDepth is not for adapters beside');
    expect(() => pfeiffer({ adapterResidualBeforeLn: true })).toThrow('give lnAfter: true');
    expect(() =>
      bottleneckAdapter.fromConfig({ ...config, original_ln_before: false, residual_before_ln: 'post_add' }),
    ).toThrow('residual_before_ln must be true or false, got "post_add"');
    await expect(merge(attach(base, [houlsby()]), { executor: reference() })).rejects.toMatchObject({
      code: 'not-mergeable',
    });
  });
});

describe('hadamardAdapter', () => {
  test('is at self-attention, with the norm that follows it', () => {
    const names = (model: Model, leaveOut: number[] = []): string[] => [
      ...attach(model, [hadamardAdapter({ leaveOut })]).params.keys(),
    ];
    expect(names(tinyLlama(), [0])).toEqual([
      'model.layers.1.self_attn.o_proj.hadamard_weight',
      'model.layers.1.self_attn.o_proj.hadamard_bias',
      'model.layers.1.post_attention_layernorm.hadamard_norm.weight',
    ]);
    expect(names(tinyT5(), [1, 2, 3]).filter((name) => name.includes('hadamard_weight'))).toEqual([
      'encoder.block.0.layer.0.SelfAttention.o.hadamard_weight',
    ]);
    expect(() => attach(tinyLlama(), [hadamardAdapter({ leaveOut: [0, 1] })])).toThrow('no layer is left');
  });

  test('a second stage adapts the head of a first', async () => {
    const r = reference();
    const model = tinyBert();
    const first = attach(model, []);
    expect([...first.params.keys()].length).toBeGreaterThan(0);
    await shake(first.params, { executor: r });
    const { model: merged } = await merge(first, { executor: r });
    const second = attach(merged, [hadamardAdapter()]);
    const [a, b] = [first.model.outputs({ ids }), second.model.outputs({ ids })];
    expect(distance(await values(a, r), await values(b, r))).toBeLessThan(1e-5);
  });
});

test('dropLayers leaves out the first layers of a training step', async () => {
  const r = reference();
  const base = tinyLlama({ layers: 3 });
  const adapted = attach(base, [pfeiffer({ bottleneck: 3, dropLayers: 2 })]);
  await shake(adapted.params, { executor: r });
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, v] of adapted.state) state.set(name, { shape: v.shape, data: (await r.read(v)) as Float32Array });
  const statesOf = async (model: Model): Promise<Float32Array> => values(model.states({ ids }).main, r);
  const without = async (n: number): Promise<Float32Array> => {
    const kept = new Map([...state].filter(([name]) => Number(name.split('.')[2]) >= n));
    const leaveOut = Array.from({ length: n }, (_, i) => i);
    return statesOf(attach(base, [pfeiffer({ bottleneck: 3, leaveOut })], { state: kept }).model);
  };
  const wanted = [await without(0), await without(1), await without(2)];
  expect(distance(await statesOf(adapted.model), wanted[0]!)).toBe(0);
  const found = new Set<number>();
  for (let seed = 0; seed < 12; seed++) {
    const got = await statesOf(adapted.training(constant(Uint32Array.of(seed), [])));
    found.add(wanted.findIndex((one) => distance(one, got) < 1e-6));
  }
  expect([...found].sort()).toEqual([0, 1, 2]);
});

describe('madX', () => {
  test('its invertible adapter is inverted', async () => {
    const scope = (path: string): Scope =>
      ({
        at: (name: string) => scope(`${path}.${name}`),
        param: (name: string, shape: readonly number[]) =>
          variable(`${path}.${name}`, shape, normalValues(sizeOf(shape), 0.5, randomSource(1, `${path}.${name}`))),
      }) as never;
    const { forward, inverse } = nice(scope(''), 9, 2, 'tanh');
    const x = constant(normalValues(2 * 3 * 9, 1, randomSource(2, 'x')), [2, 3, 9]);
    const [there, back] = [await values(forward(x)), await values(inverse(forward(x)))];
    expect(distance(there, await values(x))).toBeGreaterThan(0.1);
    expect(distance(back, await values(x))).toBeLessThan(1e-5);
  });

  test('say what is wrong, and read their own files', () => {
    const base = tinyLlama();
    expect(() => madX({ activation: 'prelu' })).toThrow('prelu has a slope of its own');
    const { peft_type: _, ...config } = madX().config(base);
    expect([madX, madXHoulsby, pfeiffer, bottleneckAdapter].map(({ reads }) => reads(config))).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect(() => bottleneckAdapter.fromConfig({ ...config, inv_adapter: 'glow' })).toThrow('inv_adapter = "glow"');
  });
});

describe('ReFT', () => {
  test('changes the first and the last tokens that are not hidden', async () => {
    const base = tinyLlama();
    const { model } = attach(base, [noReft({ prefixPositions: 1, suffixPositions: 2, layers: [1] })]);
    const mask = constant(Float32Array.of(0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1), [2, 8]);
    const rows = tokens([0, 0, 5, 2, 9, 4, 11, 0], [10, 6, 3, 3, 1, 2, 7, 8]);
    const [plain, changed] = [base, model].map((m) => m.states({ ids: rows, mask }).main) as [Tensor, Tensor];
    const differs = Array.from(await values(sum(abs(sub(plain, changed)), { axes: [2] })), (v) => (v > 1e-4 ? 1 : 0));
    expect(differs).toEqual([0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1]);
  });

  test('of a prompt changes at most half from either end, hidden tokens not counted', async () => {
    const base = tinyLlama();
    const kind = noReft({ prefixPositions: 2, suffixPositions: 3, layers: [1], positionsOf: 'prompt' });
    const { model } = attach(base, [kind]);
    const mask = constant(Float32Array.of(0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), [2, 8]);
    const rows = tokens([0, 0, 5, 2, 9, 4, 11, 0], [10, 6, 3, 3, 1, 2, 7, 8]);
    const [plain, changed] = [base, model].map((m) => m.states({ ids: rows, mask }).main) as [Tensor, Tensor];
    const differs = Array.from(await values(sum(abs(sub(plain, changed)), { axes: [2] })), (v) => (v > 1e-4 ? 1 : 0));
    expect(differs).toEqual([0, 0, 1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1]);
  });

  test('rows of loReft stay orthonormal', async () => {
    const r = reference();
    const store = new Map<string, Variable>();
    const make = (
      name: string,
      shape: readonly number[],
      init: (shape: readonly number[], random: Random) => never,
    ) => {
      const made = variable(name, shape, init(shape, randomSource(3, name)));
      store.set(name, made);
      return made;
    };
    const rows = orthogonalRows({ param: make, buffer: make } as never, 5, 8, true);
    const gram = matmul(rows, rows, { transposeB: true });
    const eye = Array.from({ length: 25 }, (_, i) => (i % 6 === 0 ? 1 : 0));
    expect(distance(await values(gram, r), eye)).toBeLessThan(1e-5);
    const before = await values(rows, r);
    const original = store.get('original')!;
    const moved = (await r.read(original)).map((v, i) => (v === -1 ? v : v + Math.sin(i)));
    await r.write(original, Float32Array.from(moved));
    expect(distance(await values(gram, r), eye)).toBeLessThan(1e-5);
    expect(distance(await values(rows, r), before)).toBeGreaterThan(0.1);
  });

  test('say what is wrong', () => {
    const base = tinyLlama();
    expect(() => noReft({ prefixPositions: 0 })).toThrow('are both 0');
    expect(() => attach(base, [loReft({ rank: 8 })])).toThrow('rank 8 must be below the hidden size 8');
    expect(() => attach(base, [diReft({ layers: [7] })])).toThrow('the model has none of the layers 7');
    expect(() => noReft({ layers: [] })).toThrow('layers must be all, or a list');
    for (const one of [loReft, noReft, diReft])
      for (const other of [loReft, noReft, diReft]) {
        const { peft_type: _, ...config } = one().config(base);
        expect(other.reads(config)).toBe(one === other);
      }
  });
});

describe('ladderSide', () => {
  test('has a layer beside every so-manieth, the last one always', () => {
    const names = (every: number): string[] => [
      ...attach(tinyLlama({ layers: 5 }), [ladderSide({ every })]).params.keys(),
    ];
    expect(names(2).filter((name) => name.includes('gates'))).toHaveLength(3);
    expect(names(4).filter((name) => name.includes('q_proj'))).toHaveLength(2);
    expect(names(9).filter((name) => name.includes('.downs.') && name.endsWith('weight'))).toHaveLength(1);
  });

  test('with its gates shut for the base it reads the embeddings alone', async () => {
    const r = reference();
    const base = tinyGpt2();
    const { model, params } = attach(base, [ladderSide({ reduction: 2 })]);
    await shake(params, { executor: r });
    const before = await values(model.logits(ids), r);
    for (const [name, p] of params) if (name.includes('gates')) await r.write(p, Float32Array.of(100));
    const shut = await values(model.logits(ids), r);
    expect(distance(shut, before)).toBeGreaterThan(1e-3);
    for (const [name, p] of params)
      if (name.includes('.downs.')) await r.write(p, (await r.read(p)).map((v) => 3 * v) as Float32Array);
    expect(distance(await values(model.logits(ids), r), shut)).toBe(0);
  });

  test('recomputing blocks changes nothing', async () => {
    const r = reference();
    const { model, params } = attach(tinyLlama(), [ladderSide({ reduction: 2 })]);
    await shake(params, { executor: r });
    const labels = tokens([5, 2, 9, 1], [3, 12, 0, 4]);
    const loss = async (checkpoint: boolean): Promise<Float32Array> =>
      values(mul(meanOf(model.loss({ ids, labels }, { recompute: checkpoint })), constant(Float32Array.of(1), [])), r);
    expect(distance(await loss(true), await loss(false))).toBe(0);
  });

  test('needs the head', () => {
    expect(() => ladderSide({ every: 0 })).toThrow('every must be a whole number of at least 1');
  });
});

describe('shadow', () => {
  test.each([
    ['shadow_model', 'someone/model', /a model of its own, someone\/model, whose weights are not in the folder/],
    ['shadow_hidden_size', 4, /other sizes than the base \(shadow_hidden_size\)/],
    ['share_embeddings', false, /a table of tokens of its own/],
    ['task_type', 'SEQ_CLS', /a classifier of its own/],
  ])('refuses files of other kinds: %s', (field, value, says) =>
    expect(() => shadow.fromConfig({ peft_type: 'SHADOW', [field]: value })).toThrow(says),
  );

  test('goes from block to block', () =>
    expect(() => attach(tinyLlama({ layers: 3 }), [shadow({ target: ['layers.0', 'layers.2'] })])).toThrow(
      /blocks in a row, and it is model\.layers\.0, model\.layers\.2/,
    ));
});

test('side networks keep keys of their own in each look', async () => {
  const executor = reference();
  const base = tinyLlama();
  const adapted = attach(base, [sideTuning({ reduction: 4 })], { seed: 3 });
  const twice: CausalLM = adapted.model.with({
    around: {
      model: new Map([
        [
          '',
          [
            (inputs, next, { pass }) => {
              pass.put(cachedUnder, 'look.');
              next(inputs);
              pass.put(cachedUnder, '');
              return next(inputs);
            },
          ],
        ],
      ]),
    },
  });
  const options = { executor, prompt: [1, 5, 2], maxTokens: 6 };
  expect(await generate(twice, options)).toEqual(await generate(adapted.model, options));
});

describe('meft', () => {
  const base = tinyLlama();

  test('takes a layer apart with what other methods add beneath it, and refuses what is added to attention around it', () => {
    const halves = meft({ kind: 'attn' });
    expect(() => attach(base, [pfeiffer(), houlsby(), halves]).model.logits(ids)).not.toThrow();
    expect(() => attach(base, [halves, houlsby()]).model.logits(ids)).toThrow(
      /another method changes the stream; list it on the other side of meft/,
    );
    expect(() => attach(base, [shadow(), halves]).model.logits(ids)).toThrow(/list it on the other side/);
    expect(() => attach(base, [halves, shadow()]).model.logits(ids)).not.toThrow();
  });

  test('refuses halves where a layer adds to what its norm gives', () => {
    const fields = { applyResidualConnectionPostLayernorm: true };
    const config = { ...tinyConfig, modelType: 'bloom', keyValueHeads: 4, fields };
    const bloom = buildModel(config, tinyWeights(0)) as CausalLM;
    expect(() => attach(bloom, [meft({ kind: 'attn' })])).toThrow(/so there are no halves; use kind 'layer'/);
    expect(() => attach(bloom, [meft()]).model.logits(ids)).not.toThrow();
  });

  test('refuses rows of layers of which rounding would leave nothing', () => {
    const deep = tinyLlama({ layers: 16 });
    expect(() => attach(deep, [meft({ keepEvery: 0 })])).toThrow(
      /through 15 rebuilt layers in a row.*give a smaller keepEvery/,
    );
    expect(() => attach(deep, [meft({ keepEvery: 0, lambda: 1 })])).not.toThrow();
  });
});
