import type { Target } from '../target.ts';

/** Is all that no reader may be: by this the fuzzer itself is tried. */
export const faulty: Target = {
  name: 'faulty',
  seeds: async () => [new Map([['x', Uint8Array.of(1, 2, 3, 4)]])],
  run: async (files) => {
    const [first = 0] = files.get('x') ?? [];
    if (first === 1) return;
    if (first === 2) for (;;);
    if (first < 16) new Uint8Array(300 * 2 ** 20).fill(1);
    throw first < 128 ? new TypeError('raw') : new RangeError('raw too');
  },
};
