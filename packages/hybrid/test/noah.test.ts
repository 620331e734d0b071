import { type Adapted, attach } from '@peftjs/core';
import {
  compile,
  constant,
  evaluate,
  normalValues,
  randomSource,
  reference,
  sizeOf,
  type Tensor,
} from '@peftjs/tensor';
import { distance, shake, tinyLlama, tinyVit } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import {
  evolving,
  type NoahPoint,
  type NoahSizes,
  noah,
  noahSizes,
  noahSpace,
  noahSupernet,
  noahValues,
  search,
  subnetOf,
  useSizes,
} from '../src/index.ts';

const executor = reference();
const base = tinyVit({ layers: 3 });
const layers = base.main.paths('block').length;
const [channels, high, wide] = base.main.reads.picture!;
const shape = [2, channels, high, wide];
const pixels: Tensor = constant(normalValues(sizeOf(shape), 1, randomSource(3, 'picture')), shape);

const outputs = async (model: TaskModel): Promise<ArrayLike<number>> =>
  (await evaluate({ y: model.outputs({ pixels }) as Tensor }, { executor }))['y']!;

const choices = { prompts: [1, 3], ranks: [1, 2], widths: [2, 4], depths: [1, layers], dropout: 0 };

/** A supernet whose values are not the first ones. */
const shaken = async (options: Parameters<typeof noahSupernet>[0] = choices): Promise<Adapted<TaskModel>> => {
  const supernet = attach(base, [noahSupernet(options)], { seed: 1 });
  await shake(supernet.params, { executor });
  return supernet;
};

/** One size in the first layers, none behind. */
const upTo = (depth: number, size: number): number[] =>
  Array.from({ length: layers }, (_, i) => (i < depth ? size : 0));

describe('a structure cut out of the supernet computes what the supernet does with its sizes', () => {
  test.each<[string, NoahSizes]>([
    ['the largest', { prompts: upTo(layers, 3), ranks: upTo(layers, 2), widths: upTo(layers, 4) }],
    ['small, in the first layer alone', { prompts: upTo(1, 1), ranks: upTo(1, 1), widths: upTo(1, 2) }],
    [
      'of growing and shrinking prompts',
      {
        prompts: Array.from({ length: layers }, (_, i) => [1, 3, 2][i % 3]!),
        ranks: upTo(1, 2),
        widths: upTo(layers, 3),
      },
    ],
    [
      'with a prompt from the second layer on, and nothing else',
      { prompts: Array.from({ length: layers }, (_, i) => (i === 1 ? 2 : 0)), ranks: upTo(0, 1), widths: upTo(0, 1) },
    ],
    ['without prompts', { prompts: upTo(0, 1), ranks: upTo(layers, 1), widths: upTo(1, 1) }],
  ])('%s', async (_, sizes) => {
    const supernet = await shaken();
    await useSizes(supernet, sizes, { executor });
    const subnet = await subnetOf(supernet, sizes, { executor });
    const [whole, cut] = [await outputs(supernet.model), await outputs(subnet.model)];
    expect(distance(whole, cut)).toBeLessThan(1e-5);
    expect(distance(cut, await outputs(base))).toBeGreaterThan(1e-3);
    const trained = [...subnet.params.values()].reduce((n, v) => n + sizeOf(v.shape), 0);
    const heads = [...attach(base, []).params.values()].reduce((n, v) => n + sizeOf(v.shape), 0);
    expect(noahValues(base, sizes)).toBe(trained - heads);
  });
});

test('a training pass uses one of the structures of the space, another one the next time', async () => {
  const supernet = await shaken({ ...choices, prompts: [1, 3], ranks: [2], widths: [4], depths: [1, layers] });
  const program = await compile({ outputs: { y: supernet.model.outputs({ pixels }) as Tensor } }, { executor });
  const of = (bits: number, depth: number): number[] =>
    Array.from({ length: layers }, (_, i) => (i < depth ? [1, 3][(bits >> i) & 1]! : 0));
  const known: ArrayLike<number>[] = [];
  for (const depth of [1, layers])
    for (let bits = 0; bits < 2 ** depth; bits++)
      for (const [rank, width] of [1, layers].flatMap((r) => [1, layers].map((w) => [r, w] as const))) {
        await useSizes(
          supernet,
          { prompts: of(bits, depth), ranks: upTo(rank, 2), widths: upTo(width, 4) },
          { executor },
        );
        known.push((await program.run({}))['y']!);
      }
  program.close();
  const found = new Set<number>();
  for (let seed = 0; seed < 8; seed++) {
    const drawn = await outputs(supernet.training(constant(Uint32Array.of(seed), [])));
    const near = known.flatMap((one, i) => (distance(drawn, one) < 1e-5 ? [i] : []));
    expect(near).toHaveLength(1);
    found.add(near[0]!);
  }
  expect(found.size).toBeGreaterThan(3);
});

test('a search in the supernet ends at a structure within its budget that trains and loads as any adapter', async () => {
  const supernet = await shaken();
  const space = noahSpace(base, choices);
  const parameters = (point: object): number => noahValues(base, noahSizes(point as NoahPoint));
  const all = noahValues(base, { prompts: upTo(layers, 3), ranks: upTo(layers, 2), widths: upTo(layers, 4) });
  const program = await compile({ outputs: { y: supernet.model.outputs({ pixels }) as Tensor } }, { executor });
  const target = new Float32Array(program.plan ? (await program.run({}))['y']!.length : 0);
  const { best, trials } = await search({
    space,
    parameters,
    most: Math.floor(all / 2),
    budget: 12,
    strategy: evolving({ population: 6, parents: 3 }),
    objective: async (point) => {
      await useSizes(supernet, noahSizes(point as NoahPoint), { executor });
      return distance((await program.run({}))['y']!, target);
    },
  });
  program.close();
  expect(trials).toHaveLength(12);
  expect(Math.max(...trials.map((trial) => trial.parameters))).toBeLessThanOrEqual(all / 2);
  const sizes = noahSizes(best.point as NoahPoint);
  const found = await subnetOf(supernet, sizes, { executor });
  expect(distance(await outputs(found.model), target)).toBeCloseTo(best.loss!, 5);
  expect(found.methods[0]!.config(base)).toMatchObject({ peft_type: 'PEFTJS_NOAH', prompt_dims: sizes.prompts });
});

test('refuses what makes no sense, and says what to do', async () => {
  const supernet = await shaken();
  const sizes = { prompts: upTo(1, 1), ranks: upTo(1, 1), widths: upTo(1, 1) };
  expect(() => attach(base, [noah({ ...sizes, ranks: [1] })])).toThrow(
    `the model has ${layers} layers, and ranks has 1 sizes`,
  );
  expect(() => noah({ prompts: [1, -1] })).toThrow('prompts must be a whole number from 0 to 16384 for each layer');
  expect(() => noahSupernet({ ranks: [2, 2] })).toThrow('each larger than the one before');
  expect(() => attach(base, [noahSupernet({ depths: [layers + 1] })])).toThrow('depths must not be above');
  expect(() => noahSpace(tinyLlama())).toThrow('is for models that read pictures');
  const larger = { ...sizes, widths: upTo(1, 9) };
  await expect(useSizes(supernet, larger, { executor })).rejects.toThrow('the supernet has smaller ones alone');
  await expect(subnetOf(supernet, { ...sizes, prompts: [1] }, { executor })).rejects.toThrow('prompts has 1 sizes');
  await expect(useSizes(attach(base, [noah(sizes)]), sizes, { executor })).rejects.toThrow(
    'needs an adapter of noahSupernet alone, got noah',
  );
});
