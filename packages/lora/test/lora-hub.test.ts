import { attach, type Examples } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { shake, tinyLlama } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { nelderMead } from '../src/hub/nelder-mead.ts';
import { lora, loraHub } from '../src/index.ts';

test('nelderMead finds the minimum of a bent valley, and keeps to its bound and budget', async () => {
  let asked = 0;
  const valley = async ([x, y]: readonly number[]): Promise<number> => {
    asked++;
    return 100 * (y! - x! ** 2) ** 2 + (1 - x!) ** 2;
  };
  const { point, value } = await nelderMead(valley, [-0.5, 0.5], { bound: 1.5, evaluations: 300, size: 0.5 });
  expect(value).toBeLessThan(1e-8);
  expect(point[0]).toBeCloseTo(1, 3);
  expect(asked).toBe(300);
  const edge = await nelderMead(async ([x]) => -x!, [0], { bound: 1.5, evaluations: 20, size: 0.5 });
  expect(edge.point).toEqual([1.5]);
});

const data: Examples[] = [
  {
    rows: 2,
    columns: { ids: Int32Array.of(1, 5, 2, 9, 3, 7, 0, 8), labels: Int32Array.of(5, 2, 9, 1, 7, 0, 8, -100) },
    shapes: { ids: [2, 4], labels: [2, 4] },
  },
];

test('loraHub sums adapters tensor by tensor, with weights that lower the loss', async () => {
  const [executor, base] = [reference(), tinyLlama()];
  const adapters = [1, 2, 3].map((seed) => attach(base, [lora({ rank: 2 })], { seed }));
  for (const { params } of adapters) await shake(params, { executor });
  const { adapted, weights, loss } = await loraHub(adapters, { executor, data, evaluations: 60, l1: 0 });
  expect(weights.every((w) => Math.abs(w) <= 1.5)).toBe(true);
  const none = await loraHub(adapters, { executor, data, evaluations: 1 });
  expect(none.weights).toEqual([0, 0, 0]);
  expect(loss).toBeLessThan(none.loss);
  for (const [name, v] of adapted.state) {
    const parts = await Promise.all(adapters.map(({ state }) => executor.read(state.get(name)!)));
    for (const [k, value] of (await executor.read(v)).entries())
      expect(value).toBeCloseTo(
        weights.reduce((sum, w, i) => sum + w * parts[i]![k]!, 0),
        5,
      );
  }
});

test('loraHub refuses adapters that are unlike', async () => {
  const [executor, base] = [reference(), tinyLlama()];
  const adapters = [2, 3].map((rank) => attach(base, [lora({ rank })]));
  expect(await messageOf('bad-option', () => loraHub(adapters, { executor, data }))).toContain('unlike tensors');
  expect(await messageOf('bad-option', () => loraHub([], { executor, data }))).toContain('there is no adapter');
});
