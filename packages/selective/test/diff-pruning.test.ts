import { attach, load, makeBetween, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { evaluate, reference, type TypedArray, type Variable } from '@peftjs/tensor';
import { shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { diffPruning } from '../src/index.ts';

test('diffPruning leaves the largest differences, in training and in evaluation alike, and saves them alone', async () => {
  const [executor, base] = [reference(), tinyLlama()];
  const made = attach(base, [diffPruning({ keep: 0.05, pruneAfter: 7, gate: 0.5 })]);
  await shake(made.params, { executor });
  const read = async (v: Variable): Promise<TypedArray> => executor.read(v);
  const changes = async (model: typeof base): Promise<Map<string, number[]>> => {
    const found = new Map<string, number[]>();
    for (const [path, layer] of model.linears) {
      const [now, before] = [layer, base.linears.get(path)!].map((l) => l.dense().weight);
      const values = await evaluate({ now: now!, before: before! }, { executor });
      found.set(
        path,
        Array.from(values['now']!, (w, i) => w - values['before']![i]!),
      );
    }
    return found;
  };
  const before = [...(await changes(made.model)).values()].flat();
  const count = Math.floor(
    0.05 * [...made.params].reduce((n, [name, p]) => n + (name.endsWith('.diff') ? p.shape[0]! * p.shape[1]! : 0), 0),
  );
  const wanted = before.map(Math.abs).sort((a, b) => b - a);

  const { decision, params } = made;
  expect([6, 7, 8].map((step) => decision!.due(step))).toEqual([false, true, false]);
  const state = new Map([...params.values()].map((p): [Variable, Variable[]] => [p, []]));
  await decision!.run(7, makeBetween({ executor, params: params.values(), state, rewarm: () => {} }));
  const after = [...(await changes(made.model)).values()].flat();
  expect(after.filter((d) => Math.abs(d) > 1e-9)).toHaveLength(count);
  for (const [i, change] of after.entries())
    expect(change).toBeCloseTo(Math.abs(before[i]!) >= wanted[count - 1]! ? before[i]! : 0, 6);
  for (const [name, p] of params)
    if (name.endsWith('alpha')) expect(Array.from(await read(p)).every((a) => Math.abs(a) === 30)).toBe(true);

  const files = memoryFiles(new Map());
  await save(made, files, { executor });
  const again = await load(base, files, [diffPruning]);
  expect([...again.params.values()].reduce((n, { shape }) => n + shape[0]!, 0)).toBe(count);
  const ids = tokens([1, 5, 2, 9]);
  const { y, z } = await evaluate({ y: made.model.logits(ids), z: again.model.logits(ids) }, { executor });
  for (const [i, value] of y!.entries()) expect(z![i]).toBeCloseTo(value, 5);
});
