import {
  adamw,
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
import { mustMatch } from '@peftjs/tensor/testing';
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
  return { state: [w, m, v], sum, outs: adamw(w, add(mul(w, 0.1), sum), m, v, input('hyper', [8])) };
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
  const [mine, theirs] = [await compile(spec, executor), await compile(spec, exact)];
  for (let t = 1; t <= 4; t++) for (const step of [mine, theirs]) await step.run({ hyper: hyperAt(t) });
  for (const v of [...parts.state, parts.sum]) mustMatch(v.node.name, v, await executor.read(v), await exact.read(v));
});

it('uses a gathered gradient before it is emptied', async () => {
  const [w, m, v] = [
    variable('w', [2], Float32Array.of(1, 1)),
    variable('m', [2], new Float32Array(2)),
    variable('v', [2], new Float32Array(2)),
  ];
  const sum = variable('sum', [2], Float32Array.of(3, -3));
  const outs = adamw(w, sum, m, v, input('hyper', [8]));
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
    executor,
  );
  await step.run({ hyper: Float32Array.of(0.25, 0.9, 0.99, 0, 0, 0.1, 0.01, 1) });
  mustMatch('w', w, await executor.read(w), Float32Array.of(0.75, 1.25));
  expect(await executor.read(sum)).toEqual(new Float32Array(2));
});

it('keeps the weights that another program reads in one place', async () => {
  const parts = stepParts(5);
  const step = await compile({ updates: updatesOf(parts, parts.sum) }, executor);
  const look = await compile({ outputs: { w: mul(parts.state[0], 1) } }, executor);
  await step.run({ hyper: hyperAt(1) });
  expect((await look.run())['w']).toEqual(await executor.read(parts.state[0]));
});
