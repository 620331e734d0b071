import { describe, expect, it } from 'vitest';
import { apart, drawn, known, valuesOf } from '../testing/known.ts';
import { layerNorm } from './layer-norm.ts';
import { logSoftmax } from './log-softmax.ts';
import { rmsNorm } from './rms-norm.ts';
import { softmax } from './softmax.ts';

const row = known([1, 4], [1, -2, 3, -4]);
const ones = known([4], [1, 1, 1, 1]);

describe('softmax and logSoftmax', () => {
  it('compute values known by hand', async () => {
    const x = known([1, 2], [0, Math.log(3)]);
    expect(apart(await valuesOf(softmax(x)), [0.25, 0.75])).toBeLessThan(1e-6);
    expect(apart(await valuesOf(logSoftmax(x)), [Math.log(0.25), Math.log(0.75)])).toBeLessThan(1e-6);
  });

  it('do not overflow, and forget what all share', async () => {
    const x = known([1, 3], [1000, 1001, 1003]);
    expect(apart(await valuesOf(softmax(x)), await valuesOf(softmax(known([1, 3], [-3, -2, 0]))))).toBeLessThan(1e-6);
    expect((await valuesOf(logSoftmax(x))).every((v) => v <= 0 && v > -4)).toBe(true);
  });

  it('need an axis', () =>
    expect(() => softmax(known([], [1]))).toThrow('softmax: got scalar f32; the input must have at least one axis'));
});

describe('rmsNorm', () => {
  it('computes values known by hand', async () => {
    const root = Math.sqrt(30 / 4 + 0.5);
    expect(
      apart(await valuesOf(rmsNorm(row, known([4], [1, 1, 2, 1]), { eps: 0.5 })), [
        1 / root,
        -2 / root,
        6 / root,
        -4 / root,
      ]),
    ).toBeLessThan(1e-6);
  });

  it('makes the mean square 1', async () => {
    const out = await valuesOf(rmsNorm(drawn('x', [1, 4]), ones, { eps: 0 }));
    expect(out.reduce((s, v) => s + v * v, 0) / 4).toBeCloseTo(1, 5);
  });

  it('names what does not fit', () => {
    expect(() => rmsNorm(row, known([3], [1, 1, 1]), { eps: 1e-5 })).toThrow(
      'rmsNorm: got 1x4 f32, 3 f32; weight must be [4], as long as the last axis of x',
    );
    expect(() => rmsNorm(row, ones, { eps: Number.NaN })).toThrow('got eps NaN; it must be a number of at least 0');
  });
});

describe('layerNorm', () => {
  it('computes values known by hand', async () => {
    // Mean −0.5, deviations 1.5, −1.5, 3.5, −3.5, variance 7.25.
    const out = await valuesOf(layerNorm(row, known([4], [1, 2, 1, 1]), known([4], [0, 0, 0, 10]), { eps: 0.25 }));
    const scale = 1 / Math.sqrt(7.5);
    expect(apart(out, [1.5 * scale, -3 * scale, 3.5 * scale, 10 - 3.5 * scale])).toBeLessThan(1e-6);
  });

  it('forgets shifts and scales of its input', async () => {
    const norm = (x: typeof row) => valuesOf(layerNorm(x, ones, known([4], [0, 0, 0, 0]), { eps: 0 }));
    expect(apart(await norm(row), await norm(known([1, 4], [105, 90, 115, 80])))).toBeLessThan(1e-5);
  });
});
