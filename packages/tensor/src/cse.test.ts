import { expect, test } from 'vitest';
import { evaluate } from './compile.ts';
import { defineOp, type Op } from './define-op.ts';
import { input } from './graph.ts';
import { buildProgram } from './program.ts';
import { reference } from './reference/executor.ts';

const power = (exponent: number): Op<'power', readonly ['x']> =>
  defineOp({
    name: 'power',
    inputs: ['x'],
    infer: ({ x }) => x,
    vjp: 'none',
    reference: ({ x }) => x.map((v) => v ** exponent),
    samples: [],
  });

const x = input('x', [1]);

test('the same op of the same input is computed once', () => {
  const square = power(2);
  expect(buildProgram({ outputs: { a: square(x), b: square(x) } }).nodes).toHaveLength(1);
});

test('ops that share a name alone are two', async () => {
  const results = await evaluate(
    { a: power(2)(x), b: power(3)(x) },
    { executor: reference(), feeds: { x: Float32Array.of(2) } },
  );
  expect(results).toEqual({ a: Float32Array.of(4), b: Float32Array.of(8) });
});
