import { grad } from '@peftjs/autograd';
import {
  addSquares,
  attention,
  buildProgram,
  constant,
  input,
  matmul,
  sigmoid,
  sizeOf,
  sum,
  type Tensor,
  variable,
} from '@peftjs/tensor';
import { expect, it } from 'vitest';
import { buffersOf } from '../src/cpu/buffers.ts';
import { executionOrder, fileOrder } from '../src/cpu/execution-order.ts';
import { peakOf } from '../src/cpu/plan.ts';
import { lower } from '../src/lower/lower.ts';
import type { NodeProto } from '../src/proto/model.ts';

const node = (type: string, inputs: readonly string[], output: string): NodeProto => ({
  name: output,
  type,
  domain: '',
  inputs,
  outputs: [output],
  attributes: {},
});
const valuesOf = (shapes: Readonly<Record<string, readonly number[]>>) =>
  new Map(Object.entries(shapes).map(([name, shape]) => [name, { name, shape, type: 'float' as const }]));

it('runs nodes as they were made, those of a later need when it comes', () => {
  const nodes = [
    node('Exp', ['x'], 'a'),
    node('Exp', ['x'], 'late'),
    node('Exp', ['a'], 'b'),
    node('Add', ['b', 'late'], 'y'),
  ];
  const names = executionOrder(fileOrder({ nodes, inputs: [], outputs: [], initializers: [] })).map((n) => n.name);
  expect(names).toEqual(['late', 'a', 'b', 'y']);
});

it('makes a result where it comes by, also when its only reader comes last', () => {
  const nodes = [
    node('Exp', ['x'], 'g1'),
    node('Exp', ['g1'], 'h'),
    node('Exp', ['h'], 'g0'),
    node('Add', ['g0', 'g1'], 'n'),
  ];
  const outputs = ['g1', 'g0', 'n'].map((name) => ({ name, type: 'float' as const, dims: [1] }));
  const order = executionOrder(fileOrder({ nodes, inputs: [], outputs, initializers: [] }));
  expect(order.filter((n) => n.type !== 'Size').map((n) => n.name)).toEqual(['g1', 'h', 'g0', 'n']);
});

it('gives values of one shape the same memory, and none to views and results', () => {
  const nodes = [
    node('MatMul', ['x', 'w'], 'a'),
    node('Sigmoid', ['a'], 'over'),
    node('Reshape', ['over', 'shape'], 'view'),
    node('MatMul', ['view', 'w'], 'b'),
    node('MatMul', ['b', 'w'], 'c'),
    node('MatMul', ['c', 'w'], 'y'),
  ];
  const shapes = { a: [2, 3], over: [2, 3], view: [6], b: [4, 4], c: [2, 3], y: [2, 3] };
  const buffers = buffersOf(nodes, new Set(['y']), valuesOf(shapes));
  expect(buffers).toEqual([
    { name: 'a', from: 0, to: 5 },
    { name: 'b', from: 3, to: 4 },
  ]);
});

it('does not keep what gradients are made from until their norm is taken', () => {
  const [rows, width, layers] = [512, 256, 12];
  const peak = (withNorm: boolean): number => {
    const weights = Array.from({ length: layers }, (_, i) =>
      variable(`w${i}`, [width, width], new Float32Array(width * width)),
    );
    const loss = sum(weights.reduce<Tensor>((h, w) => sigmoid(matmul(h, w)), input('x', [rows, width])));
    const grads = grad(loss, weights);
    const norm = grads.reduce<Tensor>((total, g) => addSquares(total, g), constant(Float32Array.of(0), []));
    const program = buildProgram({
      outputs: { ...Object.fromEntries(grads.map((g, i) => [`g${i}`, g])), ...(withNorm && { norm }) },
    });
    return peakOf(lower(program)).bytes;
  };
  expect(peak(true)).toBeLessThan(peak(false) * 1.01);
});

it('computes no scores of blocks outside of a window', () => {
  const [q, k, v] = [input('q', [1, 1, 512, 8]), input('k', [1, 1, 512, 8]), input('v', [1, 1, 512, 8])];
  const scoresOf = (window?: number): number => {
    const y = attention(q, k, v, { causal: true, ...(window !== undefined && { window }) });
    const { model, values } = lower(buildProgram({ outputs: { y } }));
    const made = model.nodes.filter(({ type }) => type === 'Softmax').map(({ outputs }) => values.get(outputs[0]!)!);
    return made.reduce((count, { shape }) => count + sizeOf(shape), 0);
  };
  // Eight blocks of 64 queries, each over the keys up to its last query.
  expect(scoresOf()).toBe((64 * 64 * 8 * 9) / 2);
  expect(scoresOf(33)).toBe(64 * 64 + 7 * 64 * (64 + 32));
});
