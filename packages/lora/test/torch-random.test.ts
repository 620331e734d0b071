import { expect, test } from 'vitest';
import { torchNormal, torchPermutation, torchRandom, torchUniform } from '../src/torch-random.ts';

// torch 2.15, CPU: torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:count]
test.each([
  [10, 777, [5, 9, 0, 3, 1, 7, 4, 8, 6, 2]],
  [384, 777, [359, 192, 99, 0, 159, 189, 357, 132, 71, 313, 139, 167]],
  [16_777_216, 777, [1374311, 8240085, 6766295, 6474818, 14786199]],
  [70_000, 2026, [22305, 17812, 52582, 60270, 37129, 47332]],
  [100, 2 ** 40 + 5, [11, 22, 39, 23, 42, 30, 78, 81]],
  [1, 3, [0]],
])('the first of %i numbers in the order of seed %i are those of torch.randperm', (n, seed, expected) => {
  expect([...torchPermutation(n, seed, expected.length)]).toEqual(expected);
});

test('a permutation holds every number once', () => {
  expect([...torchPermutation(1000, 5, 1000)].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
});

// torch.rand(6, generator=torch.Generator().manual_seed(42)): the lower 24 bits of a word, divided by 2²⁴.
test('the words are those of torch, also after the state was renewed', () => {
  const random = torchRandom(42);
  const values = Array.from({ length: 6 }, () => (random() & 0xffffff) / 2 ** 24);
  expect(values).toEqual([
    0.8822692632675171, 0.9150039553642273, 0.38286375999450684, 0.9593056440353394, 0.3904482126235962,
    0.600895345211029,
  ]);
  for (let i = 6; i < 2000; i++) random();
  expect((random() & 0xffffff) / 2 ** 24).toBe(0.39403045177459717);
});

// torch.empty(16).uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(1)), of which the last ones
test('uniform values are those of torch', () => {
  const expected = Float32Array.of(
    0.18261408805847168,
    -0.19485050439834595,
    -0.03645437955856323,
    -0.0450136661529541,
  );
  expect(torchUniform(16, -0.5, 0.5, 1).slice(12)).toEqual(expected);
  expect(torchUniform(4, -0.5, 0.5, 1, 12)).toEqual(expected);
});

// torch 2.15, CPU: torch.normal(0.0, std, size=(n,), generator=torch.Generator().manual_seed(seed))[-6:]
test.each([
  [5, 1, 42, [0.33669036626815796, 0.12880940735340118, 0.23446236550807953, 0.23033303022384644, -1.1228563785552979]],
  [1, 2, 3, [1.6065521240234375]],
  [
    16,
    1,
    42,
    [
      -0.3924786448478699, -1.4036071300506592, -0.7278813123703003, -0.5594301819801331, -0.7688388824462891,
      0.7624453902244568,
    ],
  ],
  [
    37,
    0.5,
    7,
    [
      0.13001810014247894, -0.8185106515884399, 0.0788559541106224, 0.19787046313285828, -0.6838698387145996,
      -0.05036715790627389,
    ],
  ],
])('the last of %i normal values of spread %f by seed %i are those of torch.normal', (n, std, seed, expected) => {
  const values = torchNormal(n, std, seed).slice(-6);
  for (const [i, value] of expected.entries()) expect(Math.abs(values[i]! - value)).toBeLessThan(1e-6);
});
