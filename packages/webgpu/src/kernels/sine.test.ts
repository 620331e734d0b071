import { constant, cos, type Executor, evaluate, sin } from '@peftjs/tensor';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from '../executor/executor.ts';

let executor: Executor;
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }));
});
afterAll(() => executor.close());

test('sine and cosine are near up to angles of 1,000, nearer than WGSL promises', async () => {
  const angles = Float32Array.from({ length: 20_001 }, (_, i) => (i - 10_000) / 10);
  const x = constant(angles, [angles.length]);
  const { s, c } = await evaluate({ s: sin(x), c: cos(x) }, { executor });
  const worst = (values: ArrayLike<number>, f: (angle: number) => number): number =>
    angles.reduce((most, angle, i) => Math.max(most, Math.abs(values[i]! - f(angle))), 0);
  expect(worst(s!, Math.sin)).toBeLessThan(3e-7);
  expect(worst(c!, Math.cos)).toBeLessThan(3e-7);
});
