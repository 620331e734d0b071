import {
  adamw8bitStep,
  adamwStep,
  add,
  broadcastTo,
  compile,
  constant,
  type Executor,
  input,
  mul,
  reference,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { mustMatch, startOnEach } from '@peftjs/tensor/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cpu } from '../src/index.ts';

let executor: Executor;
beforeAll(async () => {
  executor = await cpu({ threads: 1 });
});
afterAll(() => executor.close());

const wave = (size: number, phase: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(i * 0.7 + phase));
const hyperAt = (t: number): Float32Array =>
  Float32Array.of(0.05, 0.9, 0.99, 1e-8, 0.1, 1 - 0.9 ** t, 1 - 0.99 ** t, 0.5);

interface Parts {
  readonly state: readonly [Variable, Variable, Variable];
  readonly sum: Variable;
  readonly outs: readonly Tensor[];
}

/** AdamW over gradients gathered in a variable, which the same program empties. */
const stepParts = (size: number): Parts => {
  const [w, m, v, sum] = [
    variable('w', [size], wave(size, 0)),
    variable('m', [size], () => new Float32Array(size)),
    variable('v', [size], () => new Float32Array(size)),
    variable('sum', [size], wave(size, 2)),
  ];
  return { state: [w, m, v], sum, outs: adamwStep(w, add(mul(w, 0.1), sum), m, v, input('hyper', [8])) };
};

const updatesOf = ({ state, sum, outs }: Parts, kept: Tensor) => [
  ...state.map((s, i) => [s, outs[i]!] as const),
  [sum, kept] as const,
];

it.each([
  ['in place on the host', 7, () => ({})],
  ['in place on the host, in several blocks', 2 * 16384 + 3, () => ({})],
  ['in the graph, when its result is read', 7, ({ outs }: Parts) => ({ moment: outs[1]! })],
] as const)('runs %s and agrees with the definition', async (_, size, outputsOf) => {
  const parts = stepParts(size);
  const spec = { outputs: outputsOf(parts), updates: updatesOf(parts, mul(parts.sum, 0.5)) };
  const exact = reference();
  await startOnEach([executor, exact], [...parts.state, parts.sum]);
  const [mine, theirs] = [await compile(spec, { executor }), await compile(spec, { executor: exact })];
  for (let t = 1; t <= 4; t++) for (const step of [mine, theirs]) await step.run({ hyper: hyperAt(t) });
  for (const v of [...parts.state, parts.sum]) mustMatch(v.node.name, v, await executor.read(v), await exact.read(v));
});

it.each([
  ['in place on the host', () => ({})],
  ['in the graph, when its result is read', (outs: readonly Tensor[]) => ({ weight: outs[0]! })],
] as const)('runs 8-bit AdamW %s and agrees with the definition', async (_, outputsOf) => {
  const size = 3 * 256 + 5;
  const codes = (name: string): Variable => variable(name, [size], () => new Uint8Array(size), 'u8');
  const scales = (name: string): Variable => variable(name, [4], () => new Float32Array(4));
  const w = variable('w', [size], wave(size, 0));
  const [m, v, mScale, vScale] = [codes('m'), codes('v'), scales('mScale'), scales('vScale')];
  const x = input('x', []);
  const outs = adamw8bitStep(w, mul(w, x), m, v, mScale, vScale, input('hyper', [8]));
  const state = [w, m, v, mScale, vScale] as const;
  const spec = { outputs: outputsOf(outs), updates: state.map((s, i) => [s, outs[i]!] as const) };
  const exact = reference();
  await startOnEach([executor, exact], state);
  const [mine, theirs] = [await compile(spec, { executor }), await compile(spec, { executor: exact })];
  const before = await executor.read(w);
  for (let t = 1; t <= 4; t++)
    for (const step of [mine, theirs]) await step.run({ hyper: hyperAt(t), x: Float32Array.of(Math.sin(t)) });
  expect(await executor.read(w)).not.toEqual(before);
  for (const s of [w, mScale, vScale]) mustMatch(s.node.name, s, await executor.read(s), await exact.read(s), 5e-4);
  for (const s of [m, v]) {
    // A value in the very middle between two levels may go to either.
    const [got, want] = [await executor.read(s), await exact.read(s)];
    const apart = Array.from(got, (code, i) => Math.abs(code - want[i]!));
    expect(Math.max(...apart)).toBeLessThanOrEqual(1);
    expect(apart.filter((d) => d > 0).length).toBeLessThan(size / 100);
  }
  const skipped = hyperAt(5);
  skipped[7] = 0;
  const now = await Promise.all(state.map((s) => executor.read(s)));
  await mine.run({ hyper: skipped, x: Float32Array.of(Number.NaN) });
  expect(await Promise.all(state.map((s) => executor.read(s)))).toEqual(now);
});

it('uses a gathered gradient before it is emptied', async () => {
  const [w, m, v] = [
    variable('w', [2], Float32Array.of(1, 1)),
    variable('m', [2], new Float32Array(2)),
    variable('v', [2], new Float32Array(2)),
  ];
  const sum = variable('sum', [2], Float32Array.of(3, -3));
  const outs = adamwStep(w, sum, m, v, input('hyper', [8]));
  const zeros = broadcastTo(constant(Float32Array.of(0), []), [2]);
  const step = await compile(
    {
      updates: [
        [w, outs[0]!],
        [m, outs[1]!],
        [v, outs[2]!],
        [sum, zeros],
      ],
    },
    { executor },
  );
  await step.run({ hyper: Float32Array.of(0.25, 0.9, 0.99, 0, 0, 0.1, 0.01, 1) });
  mustMatch('w', w, await executor.read(w), Float32Array.of(0.75, 1.25));
  expect(await executor.read(sum)).toEqual(new Float32Array(2));
});

it('keeps the weights that another program reads in one place', async () => {
  const parts = stepParts(5);
  const step = await compile({ updates: updatesOf(parts, parts.sum) }, { executor });
  const look = await compile({ outputs: { w: mul(parts.state[0], 1) } }, { executor });
  await step.run({ hyper: hyperAt(1) });
  expect((await look.run())['w']).toEqual(await executor.read(parts.state[0]));
});

it('takes large weights where they lie, wherever they were written or made in between', async () => {
  const parts = stepParts(2 ** 18 + 3);
  const [w] = parts.state;
  const exact = reference();
  await startOnEach([executor, exact], [...parts.state, parts.sum]);
  for (const on of [executor, exact]) {
    const step = await compile({ updates: updatesOf(parts, mul(parts.sum, 0.5)) }, { executor: on });
    const grow = await compile({ updates: [[w, mul(w, 2)]] }, { executor: on });
    const [first, second, third] = [1, 2, 3].map((t) => () => step.run({ hyper: hyperAt(t) }));
    await first!();
    await grow.run();
    await grow.run();
    await second!();
    await grow.run();
    await on.write(w, (await on.read(w)).map((x) => x + 1) as Float32Array<ArrayBuffer>);
    await third!();
    await grow.run();
  }
  for (const v of parts.state) mustMatch(v.node.name, v, await executor.read(v), await exact.read(v));
});
