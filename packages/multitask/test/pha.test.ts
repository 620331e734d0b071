import { attach } from '@peftjs/core';
import { add, constant, evaluate, mean, mul, reference, relu, sub, type Tensor } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tinyT5, tokens } from '@peftjs/testkit';
import { affine, meanOf, type TaskModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { pha, phaFor } from '../src/index.ts';
import { instanceLoss, prototypeLoss } from '../src/pha/retriever-losses.ts';

const executor = reference();
const sizes = { bottleneck: 2, embedding: 3, projected: 4, hidden: 5 };
const valuesOf = async (y: Tensor): Promise<Float32Array> => (await evaluate({ y }, { executor }))['y'] as Float32Array;
const tasksOf = (...tasks: number[]): Tensor => constant(Int32Array.from(tasks), [tasks.length]);
const seed = constant(Uint32Array.of(1), []);

test('each row of a batch has adapters of its task, in a decoder alone and in one beside an encoder', async () => {
  const ids = [3, 1, 4];
  for (const base of [tinyLlama() as TaskModel, tinyT5()]) {
    const options = { ...sizes, tasks: 3 };
    const adapted = attach(base, [pha(options)]);
    await shake(adapted.params, { executor });
    const inputs = (rows: number): Record<string, Tensor> =>
      Object.fromEntries(
        base.towers.map(({ reads }) => [reads.ids, tokens(...Array.from({ length: rows }, () => ids))]),
      );
    const both = await valuesOf(adapted.model.outputs({ ...inputs(2), task: tasksOf(2, 0) }));
    const halves = [both.subarray(0, both.length / 2), both.subarray(both.length / 2)] as const;
    expect(distance(...halves)).toBeGreaterThan(1e-3);
    for (const [i, task] of [2, 0].entries()) {
      const one = attach(base, [phaFor(task)(options)]);
      for (const [name, v] of one.state) await executor.write(v, await executor.read(adapted.state.get(name)!));
      expect(distance(await valuesOf(one.model.outputs(inputs(1))), halves[i]!)).toBeLessThan(1e-5);
    }
    expect(() => adapted.model.outputs(inputs(2))).toThrow('the inputs have no column task, and there are 3 tasks');
    expect(() => phaFor(3)(options)).toThrow('there are tasks 0 to 2');
  }
});

test("the retriever's losses are those of the authors' code, and texts alone of their task have none", async () => {
  const values = (rows: number, of: (i: number) => number): Tensor =>
    constant(
      Float32Array.from({ length: rows * 5 }, (_, i) => of(i + 1)),
      [rows, 5],
    );
  const [features, prototypes] = [values(6, (i) => Math.sin(1.7 * i)), values(4, (i) => Math.cos(2.3 * i))];
  const tasks = tasksOf(2, 0, 2, 1, 0, 2);
  const ofTexts = instanceLoss(features, tasks, 0.1);
  const ofPrototypes = prototypeLoss(features, prototypes, tasks, 0.1);
  // _ins_ins_loss and _pro_ins_loss of third_party/trainers/t5_trainer.py on these values, whose own factor is 0.1.
  expect((await valuesOf(ofTexts))[0]! / 10).toBeCloseTo(0.3703861355812922, 6);
  expect((await valuesOf(ofPrototypes))[0]! / 10).toBeCloseTo(0.6673515559530717, 6);
  expect(Math.abs((await valuesOf(instanceLoss(prototypes, tasksOf(2, 0, 1, 3), 0.1)))[0]!)).toBe(0);
});

test('in training the retriever reads the base, and its losses are added; other models are refused', async () => {
  const base = tinyLlama();
  const adapted = attach(base, [pha({ ...sizes, tasks: 2, contrast: 0.3, temperature: 0.5 })]);
  await shake(adapted.params, { executor });
  const task = tasksOf(1, 0, 1);
  const ids = tokens([3, 1, 4], [1, 5, 9], [2, 6, 5]);
  const inputs = { ids, task, labels: ids };
  const added = sub(meanOf(adapted.loss(inputs, seed)), meanOf(adapted.model.loss(inputs)));
  const layer = (name: string): Parameters<typeof affine>[1] => ({
    weight: adapted.params.get(`${name}.weight`)!,
    bias: adapted.params.get(`${name}.bias`)!,
  });
  const read = mean(base.states({ ids }).main, { axes: [1] });
  const features = affine(relu(affine(read, layer('mlp.0'))), layer('mlp.2'));
  const prototypes = adapted.params.get('adapter_task_embedding.weight')!;
  const wanted = mul(add(instanceLoss(features, task, 0.5), prototypeLoss(features, prototypes, task, 0.5)), 0.3);
  expect(distance(await valuesOf(added), await valuesOf(wanted))).toBeLessThan(1e-5);
  const t5 = tinyT5();
  const apart = { ...t5, main: { ...t5.main, paths: () => [] } };
  expect(() => attach(apart, [pha()])).toThrow('this one has encoder and decoder side by side');
});
