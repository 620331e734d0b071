import { describe, expect, it } from 'vitest';
import { loadRuntime } from './runtime.ts';
import { checkSums, mustMultiplyWhole } from './whole-products.ts';

describe('products of whole numbers', () => {
  it('are tried on this processor', async () => {
    await expect(mustMultiplyWhole(await loadRuntime())).resolves.toBeUndefined();
  });

  it('are refused where sums of two do not fit in 16 bits', () => {
    expect(() => checkSums(new Float32Array(256).fill(32 * 32767))).toThrow(
      /adds products of 8-bit numbers wrongly \(1048544 for 2072640\).*leave out compute/,
    );
  });
});
