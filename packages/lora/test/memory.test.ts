import { grad } from '@peftjs/autograd';
import { attach, type Method } from '@peftjs/core';
import { buildProgram, constant } from '@peftjs/tensor';
import { tinyLlama, tokens } from '@peftjs/testkit';
import { meanOf } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { adalora, dora, loha, lokr, lora, vera } from '../src/index.ts';

const base = tinyLlama({ hiddenSize: 32, intermediateSize: 56 });
const target = ['q_proj', 'down_proj'];
const layers = [...base.linears].filter(([path]) => /q_proj|down_proj/.test(path)).map(([, layer]) => layer);

/** Shapes of all that a training step computes. */
const shapesOf = (methods: readonly Method[]): string[] => {
  const adapted = attach(base, methods);
  const [ids, labels] = [tokens([1, 5, 2, 9], [3, 3, 12, 0]), tokens([5, 2, 9, 1], [3, 12, 0, 4])];
  const seed = constant(Uint32Array.of(1), []);
  const loss = meanOf(adapted.loss({ ids, labels }, seed));
  const params = [...adapted.params.values()];
  const gradients = grad(loss, params);
  const outputs = Object.fromEntries(gradients.map((g, i) => [`${i}`, g]));
  return buildProgram({ outputs }).nodes.flatMap((node) => node.outs.map(({ shape }) => shape.join()));
};

const whole = new Set(layers.flatMap(({ inDim, outDim }) => [`${outDim},${inDim}`, `${inDim},${outDim}`]));
const countWhole = (...methods: Method[]): number => shapesOf(methods).filter((shape) => whole.has(shape)).length;

describe('a training step computes nothing of the shape of a weight', () => {
  test.each([
    lora({ rank: 3, dropout: 0.1, target }),
    dora({ rank: 3, target }),
    vera({ rank: 5, target }),
    loha({ rank: 3, rankDropout: 0.1, target }),
    lokr({ rank: 1, target }),
    lokr({ rank: 1, decomposeBoth: true, moduleDropout: 0.1, target }),
    adalora({ rank: 3, targetRank: 2, target }),
  ])('$name', (method) => {
    expect(layers.length).toBe(4);
    expect(countWhole(method)).toBe(0);
  });

  test('but loha of a rank whose products would cost more, and dora around what another method changes', () => {
    expect(countWhole(loha({ rank: 8, target }))).toBeGreaterThan(0);
    expect(countWhole(lora({ rank: 3, target }), dora({ rank: 3, target }))).toBeGreaterThan(0);
  });
});
