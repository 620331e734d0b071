import { makeTransformRun } from '@peftjs/core';
import { galore } from '@peftjs/lora';
import { constant, variable } from '@peftjs/tensor';
import { describeTransform } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';

describeTransform('galore', { make: () => galore({ rank: 2, every: 2 }) });

describe('galore', () => {
  test('keeps moments of the rank alone, on the side that is longer', () => {
    const run = makeTransformRun(undefined);
    const params = [[40, 6], [6, 40], [40]].map((shape) =>
      variable(`${shape}`, shape, new Float32Array(shape.reduce((a, b) => a * b, 1))),
    );
    const values = new Map(params.map((p) => [p, p]));
    const one = constant(Float32Array.of(1), []);
    galore({ rank: 2 }).update(
      { values },
      run.step(one, () => {}),
    );
    expect(params.map((p) => run.state.get(p)!.map((v) => v.shape))).toEqual([
      [
        [2, 6],
        [40, 2],
        [40, 2],
      ],
      [
        [2, 6],
        [2, 40],
        [2, 40],
      ],
      [[40], [40]],
    ]);
    // Where the host has no part, its basis would stay zero and nothing be trained.
    expect(() => galore().update({ values }, makeTransformRun(undefined).step(one))).toThrow(
      /basis is found on the host/,
    );
  });

  test('says what is wrong with its options', () => {
    expect(() => galore({ rank: 0, every: 0.5 })).toThrow(/rank must be .*every must be/);
  });
});
