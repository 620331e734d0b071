import { type Adapted, attach } from '@peftjs/core';
import { evaluate, reference, type Tensor, type Variable } from '@peftjs/tensor';
import { distance, tinyLlama, tokens } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { lokr, lora, superLora } from '../src/index.ts';

const executor = reference();
const base = tinyLlama();

const logitsOf = async ({ model }: Adapted<typeof base>): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(tokens([1, 5, 2, 7, 3])) }, { executor }))['y'] as Float32Array;

const write = async (adapted: Adapted, name: string, values: ArrayLike<number>): Promise<void> =>
  executor.write(adapted.params.get(name) as Variable, Float32Array.from(values));

const drawn = ({ shape }: Tensor, seed: number): Float32Array =>
  Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => Math.sin(1 + seed + 1.7 * i));

/** [rows, columns] to [columns, rows]. */
const turned = (values: Float32Array, columns: number): Float32Array =>
  values.map((_, i) => values[(i % (values.length / columns)) * columns + Math.floor(i / (values.length / columns))]!);

const paths = [...base.linears.keys()].filter((path) => /[qv]_proj$/.test(path));

test('a group of each matrix, of order 2 and without splits, is LoRA', async () => {
  const ours = attach(base, [superLora({ rank: 2, alpha: 6 })]);
  const theirs = attach(base, [lora({ rank: 2, alpha: 6 })]);
  for (const [i, path] of paths.entries()) {
    const b = drawn(ours.params.get(`${path}.superlora_A.0.0`)!, i);
    const a = drawn(ours.params.get(`${path}.superlora_A.0.1`)!, 50 + i);
    await write(ours, `${path}.superlora_A.0.0`, b);
    await write(ours, `${path}.superlora_A.0.1`, a);
    await write(theirs, `${path}.lora_B.weight`, b);
    await write(theirs, `${path}.lora_A.weight`, turned(a, 2));
  }
  const [y, wanted] = [await logitsOf(ours), await logitsOf(theirs)];
  expect(distance(y, wanted)).toBeLessThan(1e-5);
  expect(distance(y, await logitsOf(attach(base, [lora()])))).toBeGreaterThan(1e-2);
});

test('with two splits it is LoKr, whose first factor is a product of rank r', async () => {
  const ours = attach(base, [superLora({ rank: 2, alpha: 6, splits: 2 })]);
  const theirs = attach(base, [lokr({ rank: 8, alpha: 24, target: paths })]);
  for (const [i, path] of paths.entries()) {
    const factor = async (k: number): Promise<Float32Array> => {
      const [left, right] = [0, 1].map((m) => ours.params.get(`${path}.superlora_A.${k}.${m}`)!);
      const [l, r] = [drawn(left!, 10 * i + k), drawn(right!, 20 * i + k)];
      await write(ours, `${path}.superlora_A.${k}.0`, l);
      await write(ours, `${path}.superlora_A.${k}.1`, r);
      const [rows, columns] = [left!.shape[0]!, right!.shape[0]!];
      return Float32Array.from({ length: rows * columns }, (_, at) => {
        const [row, column] = [Math.floor(at / columns), at % columns];
        return l[2 * row]! * r[2 * column]! + l[2 * row + 1]! * r[2 * column + 1]!;
      });
    };
    await write(theirs, `${path}.lokr_w1`, await factor(0));
    await write(theirs, `${path}.lokr_w2`, await factor(1));
  }
  expect(distance(await logitsOf(ours), await logitsOf(theirs))).toBeLessThan(1e-5);
});

test('groups have fewer values than matrices, and more groups than values are refused', () => {
  const trained = (options: object): number =>
    [...attach(base, [superLora(options)]).params.values()].reduce(
      (n, { shape }) => n + shape.reduce((a, b) => a * b),
      0,
    );
  expect(trained({ rank: 2, groups: 1, order: 3 })).toBeLessThan(trained({ rank: 2 }));
  expect(() => attach(base, [superLora({ groups: 1e6 })])).toThrow(/1000000 groups are more than the/);
  expect(() => superLora({ share: 0.5, shuffle: true })).toThrow(/leave out shuffle or share/);
});
