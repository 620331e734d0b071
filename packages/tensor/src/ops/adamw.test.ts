import { describe, expect, it } from 'vitest';
import { apart, drawn, known, valuesOf } from '../testing/known.ts';
import { adamw } from './adamw.ts';

const hyper = ({ rate = 0.1, decay = 0, step = 1, gradScale = 1 }) =>
  known([8], [rate, 0.9, 0.99, 1e-8, decay, 1 - 0.9 ** step, 1 - 0.99 ** step, gradScale]);
const zeros = known([3], [0, 0, 0]);

describe('adamw', () => {
  it('moves by the learning rate against the sign of the first gradient', async () => {
    const [weight, m, v] = adamw(known([3], [1, 2, 3]), known([3], [0.5, -4, 0]), zeros, zeros, hyper({}));
    expect(apart(await valuesOf(weight), [0.9, 2.1, 3])).toBeLessThan(1e-6);
    expect(apart(await valuesOf(m), [0.05, -0.4, 0])).toBeLessThan(1e-6);
    expect(apart(await valuesOf(v), [0.0025, 0.16, 0])).toBeLessThan(1e-6);
  });

  it('computes a second step known by hand', async () => {
    // m = 0.9·0.05 + 0.1·1 = 0.145, m̂ = 0.145/0.19; v = 0.99·0.0025 + 0.01·1 = 0.012475, v̂ = 0.012475/0.0199.
    const [weight] = adamw(
      known([1], [0.9]),
      known([1], [1]),
      known([1], [0.05]),
      known([1], [0.0025]),
      hyper({ step: 2 }),
    );
    expect((await valuesOf(weight))[0]).toBeCloseTo(0.9 - (0.1 * (0.145 / 0.19)) / Math.sqrt(0.012475 / 0.0199), 6);
  });

  it('shrinks weights apart from the gradient', async () => {
    const [weight, m] = adamw(known([3], [1, -2, 4]), zeros, zeros, zeros, hyper({ decay: 0.5 }));
    expect(apart(await valuesOf(weight), [0.95, -1.9, 3.8])).toBeLessThan(1e-6);
    expect(await valuesOf(m)).toEqual([0, 0, 0]);
  });

  it('scales the gradient before all else', async () => {
    const [w, m, v] = [drawn('w', [3]), drawn('m', [3]), known([3], [0.1, 0.2, 0.3])];
    const scaled = adamw(w, known([3], [1, 2, -3]), m, v, hyper({ gradScale: 0.5, step: 4 }));
    const halved = adamw(w, known([3], [0.5, 1, -1.5]), m, v, hyper({ step: 4 }));
    for (const i of [0, 1, 2] as const) expect(await valuesOf(scaled[i])).toEqual(await valuesOf(halved[i]));
  });

  it('names what does not fit', () => {
    expect(() => adamw(zeros, known([2], [0, 0]), zeros, zeros, hyper({}))).toThrow(
      'weight, grad, m and v must have one shape',
    );
    expect(() => adamw(zeros, zeros, zeros, zeros, known([2], [0.1, 0.9]))).toThrow(
      'hyper must be [learningRate, beta1',
    );
  });
});
