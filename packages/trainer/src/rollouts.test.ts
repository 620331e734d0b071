import { attach, grpo } from '@peftjs/core';
import { type Batch, fromArray, ignored, pipe, repeat } from '@peftjs/data';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { type Rollout, type RolloutOptions, rollouts, train } from './index.ts';

const executor = reference();
const items = [Int32Array.of(1, 2, 3), Int32Array.of(4, 5)];
const wanted = 7;
/** The share of tokens that are the wanted one. */
const count = (all: readonly Rollout<Int32Array>[]): number[] =>
  all.map(({ tokens }) => tokens.filter((token) => token === wanted).length / 4);

const made = () => attach(tinyLlama(), [lora({ rank: 4, target: 'all-linear' })]);
const options = (model: RolloutOptions<Int32Array>['model']): RolloutOptions<Int32Array> => ({
  model,
  executor,
  prompt: (ids) => ids,
  rewards: [count],
  group: 6,
  prompts: 2,
  maxTokens: 4,
  end: 0,
  multipleOf: 8,
});

test('a batch has each completion after its prompt, its reward, and its advantage in its group', async () => {
  const seen: (Rollout<Int32Array> & { readonly reward: number })[] = [];
  const stream = rollouts(fromArray(items), {
    ...options(made().model),
    rewards: [count, (all) => all.map((_, i) => i)],
    weights: [1, 0.5],
    onRollouts: (all) => void seen.push(...all),
  });
  const from = stream.open();
  const { value } = await from.next();
  expect(await from.next()).toEqual({ done: true, value: undefined });
  const { rows, columns, shapes } = value!;
  expect([rows, shapes['ids']]).toEqual([12, [12, 8]]);
  for (const [row, { prompt, tokens, ended, reward }] of seen.entries()) {
    expect(prompt).toBe(items[row < 6 ? 0 : 1]);
    expect(ended).toBe(tokens.length < 4);
    const whole = [...prompt, ...tokens, ...(ended ? [0] : [])];
    const of = (name: string) => [...columns[name]!.subarray(row * 8, (row + 1) * 8)];
    expect(of('ids').slice(0, whole.length - 1)).toEqual(whole.slice(0, -1));
    expect(of('mask')).toEqual(of('ids').map((_, t) => (t < whole.length - 1 ? 1 : 0)));
    expect(of('labels')).toEqual(
      of('labels').map((_, t) => (t >= prompt.length - 1 && t < whole.length - 1 ? whole[t + 1] : ignored)),
    );
    expect(reward).toBeCloseTo(count(seen)[row]! + 0.5 * row);
    expect(columns['rewards']![row]).toBeCloseTo(reward, 5);
    const own = seen.slice(row < 6 ? 0 : 6, row < 6 ? 6 : 12).map((one) => one.reward);
    const mean = own.reduce((a, b) => a + b) / 6;
    const spread = Math.sqrt(own.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 5);
    expect(columns['advantages']![row]).toBeCloseTo((reward - mean) / (spread + 1e-4), 4);
  }
});

test('what is rewarded becomes likelier, and a run that goes on draws what it would have drawn', async () => {
  const adapted = made();
  const stream = rollouts(pipe(fromArray(items), repeat()), options(adapted.model));
  const { losses } = await train(adapted, {
    executor,
    data: stream,
    steps: 20,
    schedule: () => 0.05,
    objective: grpo({ beta: 0.01 }),
  });
  const reward = (from: number, to: number): number =>
    losses.slice(from, to).reduce((sum, { metrics }) => sum + metrics!['reward']!, 0) / (to - from);
  expect(reward(16, 20)).toBeGreaterThan(reward(0, 4) + 0.1);
  const from = stream.open();
  await from.next();
  const cursor = JSON.parse(JSON.stringify(from.cursor()));
  expect((await stream.open(cursor).next()).value).toEqual((await from.next()).value);
});

test('batches are gone through several times, with the log-probabilities of the weights that drew them, also after a resume', async () => {
  const adapted = made();
  const stream = rollouts(fromArray([...items, ...items, ...items]), {
    ...options(adapted.model),
    updates: 2,
    together: 2,
  });
  const from = stream.open();
  const all: Batch[] = [];
  const cursors = [from.cursor()];
  for await (const batch of { [Symbol.asyncIterator]: () => from }) {
    all.push(batch);
    cursors.push(JSON.parse(JSON.stringify(from.cursor())));
  }
  // Three batches: two that are drawn together, and one.
  expect(all.map((batch) => all.indexOf(batch))).toEqual([0, 1, 0, 1, 4, 4]);
  for (const [i, at] of cursors.entries()) {
    const rest = [];
    for await (const batch of { [Symbol.asyncIterator]: () => stream.open(at) }) rest.push(batch);
    expect(rest).toEqual(all.slice(i));
  }
  const { columns, shapes } = all[0]!;
  const first = { rows: 12, columns, shapes };
  const objective = grpo({ clip: 0.05 });
  const run = { executor, data: fromArray([first, first]), steps: 2, schedule: () => 0.05, objective };
  const { losses } = await train(adapted, run);
  // The first ratios are 1; then the weights have moved.
  const clipped = losses.map(({ metrics }) => metrics!['clipped']!);
  expect([clipped[0], clipped[1]! > 0]).toEqual([0, true]);
  expect(
    await messageOf('state-mismatch', async () => stream.open({ ...cursors[0], held: { batches: [1] } })),
  ).toContain('no batch');
});

test('what can not be is told', async () => {
  const { model } = made();
  const of = (more: Partial<RolloutOptions<Int32Array>>, data = items) =>
    rollouts(fromArray(data), { ...options(model), ...more })
      .open()
      .next();
  expect(await messageOf('bad-data', () => of({ rewards: [() => [1]] }))).toContain('1 numbers for 12 completions');
  expect(await messageOf('bad-data', () => of({ rewards: [(all) => all.map(() => Number.NaN)] }))).toContain('NaN');
  expect(await messageOf('bad-data', () => of({}, [new Int32Array(0)]))).toContain('no token');
  expect(await messageOf('bad-option', () => of({ weights: [1, 2] }))).toContain('2 numbers for 1 rewards');
  expect(await messageOf('bad-option', () => of({ group: 1 }))).toContain('at least 2');
  expect(
    await messageOf('state-mismatch', async () => rollouts(fromArray(items), options(model)).open({ stage: 'x' })),
  ).toContain('rollouts');
  expect(await messageOf('bad-option', () => grpo({ loss: 'dr' }))).toContain('give it');
  const batch = fromArray([(await of({})).value!]);
  const { advantages: _, ...columns } = (await batch.open().next()).value!.columns;
  const without = fromArray([{ ...(await batch.open().next()).value!, columns }]);
  const run = () => train(made(), { executor, data: without, steps: 1, schedule: () => 0.1, objective: grpo() });
  expect(await messageOf('bad-option', run)).toContain('advantages');
});
