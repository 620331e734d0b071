import { describe, expect, it } from 'vitest';
import { evaluate } from '../compile.ts';
import { constant, input, type Tensor } from '../graph.ts';
import { reference } from '../reference/executor.ts';
import { bitsToUniform } from './bits-to-uniform.ts';
import { dropout } from './dropout.ts';
import { randomBits } from './random-bits.ts';
import { randomUniform } from './random-uniform.ts';

const run = async (t: Tensor, feeds = {}): Promise<number[]> => [
  ...(await evaluate({ t }, { executor: reference(), feeds }))['t']!,
];

/** The hash as published, on unsigned arithmetic of BigInt. */
const hash = (value: bigint): bigint => {
  const mask = 0xffffffffn;
  let x = value & mask;
  x ^= x >> 16n;
  x = (x * 0x7feb352dn) & mask;
  x ^= x >> 15n;
  x = (x * 0x846ca68bn) & mask;
  return x ^ (x >> 16n);
};
const expected = (seed: bigint, stream: bigint, position: bigint): number =>
  Number(hash(position + hash(stream * 0x9e3779b9n + hash(seed))));

const moments = (values: readonly number[]): { mean: number; variance: number } => {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return { mean, variance: values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length };
};

describe('randomBits', () => {
  it.each([
    [0, 0],
    [1, 0],
    [1234567, 3],
    [2 ** 32 - 1, 2 ** 32 - 1],
  ])('of seed %i and stream %i is the published hash of the counter', async (seed, stream) => {
    const got = await run(randomBits(seed, { shape: [2, 3], stream }));
    expect(got).toEqual([0n, 1n, 2n, 3n, 4n, 5n].map((i) => expected(BigInt(seed), BigInt(stream), i)));
  });

  it('takes a seed that is fed', async () => {
    const seed = input('seed', [], 'u32');
    expect(await run(randomBits(seed, { shape: [1], stream: 2 }), { seed: Uint32Array.of(77) })).toEqual([
      expected(77n, 2n, 0n),
    ]);
  });

  it('refuses other seeds and streams', () => {
    expect(() => randomBits(constant(Float32Array.of(1), []), { shape: [1], stream: 0 })).toThrow(
      /seed is scalar f32, it takes u32/,
    );
    expect(() => randomBits(constant(Uint32Array.of(1), [1]), { shape: [1], stream: 0 })).toThrow(/must be a scalar/);
    expect(() => randomBits(1, { shape: [1], stream: -1 })).toThrow(/stream is -1/);
  });
});

describe('randomUniform', () => {
  it('keeps the upper 24 bits', async () => {
    const bits = constant(Uint32Array.of(0, 255, 256, 2 ** 31, 2 ** 32 - 1), [5]);
    expect(await run(bitsToUniform(bits))).toEqual([0, 0, 2 ** -24, 0.5, 1 - 2 ** -24]);
  });

  it('is uniform, and streams and seeds are independent', async () => {
    const n = 20000;
    const [a, b, c] = [
      await run(randomUniform(1, [n], 0)),
      await run(randomUniform(1, [n], 1)),
      await run(randomUniform(2, [n], 0)),
    ];
    for (const values of [a, b, c]) {
      const { mean, variance } = moments(values);
      expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n));
      expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.002);
      const bins = new Array<number>(16).fill(0);
      for (const v of values) bins[Math.floor(v * 16)]!++;
      const chiSquare = bins.reduce((s, count) => s + (count - n / 16) ** 2 / (n / 16), 0);
      expect(chiSquare).toBeLessThan(44.3); // 15 degrees of freedom, p = 1e-4
    }
    for (const other of [b, c, [...a.slice(1), a[0]!]]) {
      const { mean } = moments(a.map((v, i) => (v - 0.5) * (other[i]! - 0.5)));
      expect(Math.abs(mean * 12)).toBeLessThan(5 / Math.sqrt(n));
    }
  });
});

describe('dropout', () => {
  it('zeroes a share of the values and scales the others', async () => {
    const n = 10000;
    const x = constant(new Float32Array(n).fill(3), [n]);
    const y = await run(dropout(x, 0.25, 5, 0));
    expect(new Set(y)).toEqual(new Set([0, 4]));
    const dropped = y.filter((v) => v === 0).length / n;
    expect(Math.abs(dropped - 0.25)).toBeLessThan(5 * Math.sqrt((0.25 * 0.75) / n));
  });

  it('repeats for the same seed and stream, differs for others', async () => {
    const x = constant(new Float32Array(64).fill(1), [64]);
    const first = await run(dropout(x, 0.5, 5, 0));
    expect(await run(dropout(x, 0.5, 5, 0))).toEqual(first);
    expect(await run(dropout(x, 0.5, 6, 0))).not.toEqual(first);
    expect(await run(dropout(x, 0.5, 5, 1))).not.toEqual(first);
  });

  it('of rate 0 is x; of 1 or more is refused', () => {
    const x = constant(Float32Array.of(1), [1]);
    expect(dropout(x, 0, 5, 0)).toBe(x);
    for (const rate of [1, -0.1, Number.NaN]) expect(() => dropout(x, rate, 5, 0)).toThrow(/dropout: rate is/);
  });
});
