import { describe, expect, test } from 'vitest';
import { fuzz } from '../src/fuzz.ts';
import { faulty } from '../src/targets/faulty.ts';
import { targets } from '../src/targets/index.ts';

/** As many as one likes are tried by `pnpm fuzz`; here some of each, always the same. */
const counts: Readonly<Record<string, number>> = {
  models: 300,
  adapters: 600,
  heads: 400,
  pyreft: 400,
  tokenizers: 400,
};

describe('odd files are read or refused with our error, soon, and in little memory', () => {
  test.each(targets.map((target) => [target.name, target] as const))(
    '%s',
    async (name, target) => {
      const { accepted, refused, findings } = await fuzz(target, { seed: 1, count: counts[name] ?? 1500 });
      expect(findings).toEqual([]);
      expect(Math.min(accepted, refused)).toBeGreaterThan(10);
    },
    300_000,
  );
});

test('crashes, hangs and hunger are found', async () => {
  const { accepted, findings } = await fuzz(faulty, { seed: 3, count: 60, patience: 3000 });
  expect(accepted).toBeGreaterThan(0);
  for (const what of ['TypeError: raw', 'RangeError: raw too', 'gave no answer', ' MB'])
    expect(findings.map((f) => f.what).join()).toContain(what);
}, 300_000);
