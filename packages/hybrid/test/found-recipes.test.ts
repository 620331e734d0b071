import { parallelAdapter, pfeiffer } from '@peftjs/adapters';
import { type Adapted, attach, combine, load, type Method, type MethodFormat, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { adapterHubPrefixTuning } from '@peftjs/prompts';
import { bitfit } from '@peftjs/selective';
import { evaluate, normalValues, randomSource, reference, sizeOf, type Tensor } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import type { Around, CausalLM } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { type AutoPeftPoint, autoPeft, autoPeftSpace, randomly, s4, search, unipelt } from '../src/index.ts';
import { spindle } from '../src/s4.ts';

const executor = reference();
const logits = async (model: CausalLM): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(tokens([1, 5, 2, 9])) }, { executor }))['y'] as Float32Array;
const sizeOfAll = ({ params }: Adapted): number => [...params.values()].reduce((n, v) => n + sizeOf(v.shape), 0);
const layersIn = ({ params }: Adapted, word: string): number[] =>
  [
    ...new Set(
      [...params.keys()].filter((name) => name.includes(word)).map((name) => Number(/layers\.(\d+)\./.exec(name)?.[1])),
    ),
  ].sort();

/** An adapter that was moved off its first values is, after save and load, what it was. */
const returns = async (base: CausalLM, method: Method, methods: readonly MethodFormat[]): Promise<Adapted> => {
  const adapted = attach(base, [method]);
  await shake(adapted.params, { executor });
  const files = memoryFiles();
  await save(adapted, files, { executor });
  const loaded = await load(base, files, methods);
  const wanted = await logits(adapted.model as CausalLM);
  expect(distance(await logits(loaded.model as CausalLM), wanted)).toBeLessThan(1e-6);
  expect(distance(await logits(base), wanted)).toBeGreaterThan(1e-3);
  return adapted;
};

test('S4 has four groups of layers, the inner ones the larger, each with its strategies', async () => {
  expect(spindle(4)).toEqual([[0], [1], [2], [3]]);
  expect(spindle(12).map((group) => group.length)).toEqual([2, 4, 4, 2]);
  expect(spindle(7).flat()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  const base = tinyLlama({ layers: 6 });
  const adapted = await returns(base, s4(base, { bottleneck: 3, prefix: 2, rank: 2 }), [
    pfeiffer,
    lora,
    adapterHubPrefixTuning,
    bitfit,
  ]);
  expect(layersIn(adapted, 'adapter_down')).toEqual([0, 1, 2, 3, 4]);
  expect(layersIn(adapted, 'lora_A')).toEqual([0, 5]);
  expect(layersIn(adapted, 'q_proj.bias')).toEqual([3, 4, 5]);
  expect(
    [...adapted.params.keys()].filter((name) => name.includes('control_trans')).map((name) => name.slice(0, 6)),
  ).toEqual(['group2', 'group3', 'group4']);
  expect(() => s4(tinyLlama({ layers: 3 }))).toThrow('this model has 3 layers');
});

test("AutoPEFT's space has sizes by halves and a bit for each layer; its points are adapters that load", async () => {
  const base = tinyLlama({ layers: 3 });
  const space = autoPeftSpace(base);
  expect(space.serial.slice(0, 3)).toEqual([0, 1, 2]);
  expect(space.serial.at(-1)).toBe(base.main.hiddenSize);
  expect(Object.keys(space)).toEqual(['serial', 'parallel', 'prefix', 'layer0', 'layer1', 'layer2']);
  const point: AutoPeftPoint = { serial: 2, parallel: 4, prefix: 3, layer0: true, layer1: false, layer2: true };
  const adapted = await returns(base, autoPeft(point), [pfeiffer, parallelAdapter, adapterHubPrefixTuning]);
  expect(layersIn(adapted, 'adapter_down')).toEqual([0, 2]);
  expect(() => autoPeft({ ...point, layer0: false, layer2: false })).toThrow('trains nothing');
});

test("the adapter after the MLP does not read what AutoPEFT's adapter beside it adds", async () => {
  const base = tinyLlama({ layers: 1 });
  const blockOf = async (model: CausalLM): Promise<Float32Array> => {
    let y: Tensor | null = null;
    const watch: Around<'block'> = (x, next) => {
      y = next(x);
      return y;
    };
    model.with({ around: { block: new Map([[model.paths('block')[0]!, [watch]]]) } }).logits(tokens([1, 5, 2, 9]));
    return (await evaluate({ y: y! }, { executor }))['y'] as Float32Array;
  };
  const changed = async (serial: number, parallel: number): Promise<Float32Array> => {
    const adapted = attach(base, [autoPeft({ serial, parallel, prefix: 0, layer0: true })]);
    for (const [name, v] of adapted.params)
      await executor.write(v, normalValues(sizeOf(v.shape), 0.5, randomSource(v.shape[0]!, name.slice(-9))));
    return blockOf(adapted.model as CausalLM);
  };
  const [none, after, beside, both] = [
    await blockOf(base),
    await changed(2, 0),
    await changed(0, 3),
    await changed(2, 3),
  ];
  const sum = none.map((v, i) => after[i]! + beside[i]! - v);
  expect(distance(both, sum)).toBeLessThan(1e-5);
  for (const alone of [after, beside]) expect(distance(alone, none)).toBeGreaterThan(1e-2);
});

test('a search over it counts what each point trains', async () => {
  const base = tinyLlama({ layers: 2 });
  const isEmpty = ({ serial, parallel, prefix, layer0, layer1 }: AutoPeftPoint): boolean =>
    serial + parallel + prefix === 0 || !(layer0 || layer1);
  const found = await search({
    space: autoPeftSpace(base),
    budget: 8,
    most: 900,
    parameters: (point) => (isEmpty(point) ? 0 : sizeOfAll(attach(base, [autoPeft(point)]))),
    objective: ({ serial, parallel }) => -serial - parallel,
    strategy: randomly(),
  });
  expect(found.trials).toHaveLength(8);
  for (const { point, parameters } of found.trials) {
    expect(parameters).toBeLessThanOrEqual(900);
    expect(parameters).toBe(sizeOfAll(attach(base, [autoPeft(point)])));
  }
});

test('UniPELT is combined with BitFit, ungated, as its authors have it', async () => {
  const base = tinyLlama();
  const options = { prefix: { length: 2, bottleneck: 3 }, adapter: { bottleneck: 3 }, lora: { rank: 2 } };
  const adapted = await returns(base, combine([bitfit(), unipelt(options)]), [unipelt, bitfit]);
  const names = [...adapted.params.keys()];
  expect(names.some((name) => name.includes('gate'))).toBe(true);
  expect(names.some((name) => name.endsWith('q_proj.bias'))).toBe(true);
});
