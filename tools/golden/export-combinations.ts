// Writes the adapters that `check_combinations.py` reads: all of src/combinations.ts
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { combinationDir, combinations } from './src/combinations.ts';
import { writeCombination } from './src/write-combination.ts';

for (const combination of combinations) {
  const dir = combinationDir(combination);
  await rm(dir, { recursive: true, force: true });
  await writeCombination(combination, join(dir, 'adapter'));
}
