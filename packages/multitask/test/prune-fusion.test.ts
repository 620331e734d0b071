import { fusible, pfeiffer } from '@peftjs/adapters';
import { type Adapted, attach, type Examples, type State, snapshot } from '@peftjs/core';
import { constant, evaluate, normalValues, randomSource, reference, sizeOf, type Tensor } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import type { Around, TaskModel } from '@peftjs/transformer';
import { tinyLlama } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { adapterFusion, type FusedAdapter, pruneFusion } from '../src/index.ts';

const base = tinyLlama({ layers: 1 }) as TaskModel<unknown>;
const executor = reference();
const names = ['one', 'two', 'three', 'four'];

const drawn = (state: Adapted<TaskModel<unknown>>['state'], salt: string, size: number): State =>
  new Map(
    [...state].map(([name, { shape }]) => [
      name,
      { shape, data: normalValues(sizeOf(shape), size, randomSource(7, salt + name)) },
    ]),
  );

const adapters = Object.fromEntries(
  names.map((name): [string, FusedAdapter] => {
    const { method, state } = attach(base, [pfeiffer({ bottleneck: 3 })]);
    return [name, { config: method.config(base), state: drawn(state, name, 0.6) }];
  }),
);

const method = adapterFusion({ adapters });
const first = attach(base, [method]);
const own = drawn(new Map([...first.params].map(([name, v]) => [name, v])), 'fusion', 0.7);
const frozen: State = new Map(
  await Promise.all(
    [...first.state].map(async ([name, v]) => [name, { shape: v.shape, data: await executor.read(v) }] as const),
  ),
);
const fused = attach(base, [method], { state: new Map([...frozen, ...own]) });

const data: Examples[] = [
  {
    rows: 2,
    columns: {
      ids: Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
      mask: Float32Array.of(1, 1, 1, 1, 1, 1, 0, 0),
      labels: new Int32Array(8),
    },
    shapes: { ids: [2, 4], mask: [2, 4], labels: [2, 4] },
  },
  {
    rows: 1,
    columns: { ids: Int32Array.of(9, 1, 4), labels: new Int32Array(3) },
    shapes: { ids: [1, 3], labels: [1, 3] },
  },
];

/** Σ over tokens that are there of softmaxᵢ((W_q x + b_q) · (W_k uᵢ + b_k)), by plain loops over what the base gives at the only place. */
const weightsByLoops = async (): Promise<number[]> => {
  const total = names.map(() => 0);
  for (const { columns, shapes } of data) {
    let made: Tensor[] = [];
    const look: Around<'mlp'> = (h, next, call) => {
      const { stream } = call;
      const y = next(h);
      const parts = names.map((name) => fusible(adapters[name]!.config, base)!);
      made = [parts[0]!.reads(y, stream!, call)];
      const scope = (name: string) => ({
        param: (tensor: string) => {
          const found = [...adapters[name]!.state!].find(([full]) => full.endsWith(`.default.${tensor}`))![1];
          return constant(Float32Array.from(found.data), found.shape);
        },
      });
      for (const [i, part] of parts.entries())
        made.push(
          part.up(scope(names[i]!) as never, { module: '', layer: 0, hiddenSize: base.main.hiddenSize })(made[0]!),
        );
      return y;
    };
    const inputs = {
      ids: constant(columns['ids'] as Int32Array, shapes['ids']!),
      ...(columns['mask'] && { mask: constant(columns['mask'] as Float32Array, shapes['mask']!) }),
    };
    base.with({ around: { mlp: new Map([[base.paths('mlp')[0]!, [look]]]) } }).states(inputs);
    const values = await evaluate(Object.fromEntries(made.map((t, i) => [`t${i}`, t])), { executor });
    const d = base.main.hiddenSize;
    const of = (end: string): ArrayLike<number> => [...own].find(([name]) => name.endsWith(end))![1].data;
    const through = (part: string, row: ArrayLike<number>): number[] =>
      Array.from({ length: d }, (_, i) => {
        let y = of(`${part}.bias`)[i]!;
        for (let j = 0; j < d; j++) y += of(`${part}.weight`)[i * d + j]! * row[j]!;
        return y;
      });
    for (let t = 0; t < columns['ids']!.length; t++) {
      if (columns['mask'] && columns['mask'][t] === 0) continue;
      const rowOf = (i: number) => values[`t${i}`]!.slice(t * d, (t + 1) * d);
      const q = through('query', rowOf(0));
      const scores = names.map((_, i) => through('key', rowOf(i + 1)).reduce((sum, k, j) => sum + k * q[j]!, 0));
      const exps = scores.map((s) => Math.exp(s - Math.max(...scores)));
      const sum = exps.reduce((a, b) => a + b);
      exps.forEach((e, i) => void (total[i]! += e / sum));
    }
  }
  return total;
};

test('the adapters that a fusion weighs most are left, as they were trained', async () => {
  const weights = await weightsByLoops();
  const wanted = names.filter((_, i) => weights.filter((w) => w > weights[i]!).length < 2);
  const pruned = await pruneFusion(fused, { keep: 2, data, executor });
  const { config } = await snapshot(pruned, { executor });
  expect((config['adapters'] as { name: string }[]).map(({ name }) => name)).toEqual(wanted);
  // The same as a fusion of these from the beginning, with those values.
  const alone = attach(base, [adapterFusion({ adapters: Object.fromEntries(wanted.map((n) => [n, adapters[n]!])) })]);
  for (const [name, v] of alone.params) {
    const from = name.replace(wanted.join(','), names.join(','));
    await executor.write(v, Float32Array.from(own.get(from)!.data));
  }
  const inputs = { ids: constant(Int32Array.of(1, 2, 3, 4, 5), [1, 5]) };
  const { a, b, c } = await evaluate(
    { a: pruned.model.states(inputs).main, b: alone.model.states(inputs).main, c: fused.model.states(inputs).main },
    { executor },
  );
  expect(Array.from(a!)).toEqual(Array.from(b!));
  expect(Array.from(a!)).not.toEqual(Array.from(c!));
});

test('what is no fusion, or has no adapter to spare, is refused', async () => {
  const other = attach(base, [pfeiffer({ bottleneck: 2 })]);
  expect(await messageOf('bad-option', () => pruneFusion(other, { keep: 2, data, executor }))).toContain(
    'got pfeiffer',
  );
  expect(await messageOf('bad-option', () => pruneFusion(fused, { keep: 4, data, executor }))).toContain('below the 4');
});
