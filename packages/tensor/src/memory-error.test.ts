import { expect, test } from 'vitest';
import type { PlannedTensor } from './compile.ts';
import { input, type Tensor, variable } from './graph.ts';
import { memoryError } from './memory-error.ts';
import { add } from './ops/add.ts';
import { after } from './ops/after.ts';
import { cast } from './ops/cast.ts';
import { matmul } from './ops/matmul.ts';
import { mul } from './ops/mul.ts';
import { sum } from './ops/sum.ts';
import { buildProgram, type ProgramSpec } from './program.ts';

const mib = 2 ** 20;
const square = 2 ** 10;
const empty = (): Float32Array => new Float32Array(0);
/** Weights of 4 MiB each. */
const weight = (name: string) => variable(name, [square, square], empty);
const frozen = Array.from({ length: 10 }, (_, i) => weight(`frozen${i}`));
const packed = Array.from({ length: 10 }, (_, i) =>
  variable(`packed${i}`, [4 * square, square], () => new Uint8Array(0), 'u8'),
);
const x = input('x', [square, square]);
const total = (list: readonly Tensor[]): Tensor => list.reduce((y, w) => matmul(y, w), x);

/** The advice for a program whose values take so much where so much is available. */
const advice = (spec: ProgramSpec, values: number, available?: number): string => {
  const program = buildProgram(spec);
  const tensors: PlannedTensor[] = [
    ...program.variables.map((v): PlannedTensor => ({ name: v.node.name, kind: 'variable', bytes: 4 * mib })),
    { name: 'scores', kind: 'temporary', bytes: values * mib },
  ];
  const { message } = memoryError({
    who: 'webgpu',
    program,
    needed: tensors.reduce((n, t) => n + t.bytes, 0),
    ...(available === undefined ? { refused: 'scores, 3 MiB' } : { available: available * mib }),
    tensors,
  });
  return message;
};
const updatesOf = (weights: readonly ReturnType<typeof weight>[], y: Tensor): ProgramSpec => ({
  outputs: { loss: sum(y) },
  updates: weights.map((w) => [w, mul(w, 0.5)]),
});

test('values that are too many: a batch so many times smaller, or checkpointing where it is not there yet', () => {
  const spec = updatesOf([weight('lora')], total(frozen));
  expect(advice(spec, 300, 144)).toMatch(
    /344 MiB of memory, 144 MiB are available: 44 MiB of variables \(.*\) and 300 MiB of intermediate values \(scores 300 MiB\)\. To make it fit use checkpointing, [^;]*; or a batch or context 3 times smaller\.$/,
  );
  const checkpointed = updatesOf([weight('lora')], after(total(frozen), x));
  expect(advice(checkpointed, 300, 144)).toMatch(/To make it fit use a batch or context 3 times smaller\.$/);
  // Nothing is trained: no value waits for a gradient.
  expect(advice({ outputs: { y: total(frozen) } }, 300, 140)).toMatch(/use a batch or context 3 times smaller\.$/);
});

test('dense frozen weights: a quantised base, with what it would take; not where it is packed', () => {
  const dense = advice(updatesOf([weight('lora')], total(frozen)), 4, 20);
  expect(dense).toMatch(/use a quantised base model \(40 MiB of frozen weights take about 5.7 MiB as NF4\)\.$/);
  const unpacked = packed.map((w) => sum(cast(w, { dtype: 'f32' })));
  const spec = {
    outputs: {
      y: add(
        unpacked.reduce((y, w) => add(y, w)),
        sum(x),
      ),
    },
  };
  const small = advice(spec, 4, 20);
  expect(small).not.toContain('quantised');
  expect(small).toMatch(/a smaller batch or context, together with a smaller model, or a device with more memory\.$/);
});

test('trained weights: fewer of them', () => {
  expect(advice(updatesOf(frozen, total(frozen)), 4, 20)).toMatch(
    /use fewer trained parameters \(40 MiB with what the optimiser keeps of them\)\.$/,
  );
});

test('where nothing suffices alone, what does together', () => {
  const spec = updatesOf([weight('lora')], total(frozen));
  expect(advice(spec, 40, 20)).toMatch(
    /use a smaller batch or context, together with a quantised base model \(.*\)\.$/,
  );
});

test('a device that does not say how much it has: what takes much', () => {
  const message = advice(updatesOf([weight('lora')], total(frozen)), 40);
  expect(message).toContain('the device has less, and none for scores, 3 MiB: ');
  expect(message).toMatch(
    /use a quantised base model [^;]*; or checkpointing, [^;]*; or a smaller batch or context\.$/,
  );
});
