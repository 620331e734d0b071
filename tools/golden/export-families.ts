// Writes the adapters that `check_families.py` reads: all of src/families.ts
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { familyAdapters, familyWritten } from './src/families.ts';
import { writeFamilyAdapter } from './src/write-family-adapter.ts';

for (const golden of familyAdapters) {
  const dir = familyWritten(golden.name, golden.adapter);
  await rm(dir, { recursive: true, force: true });
  await writeFamilyAdapter(golden, join(dir, 'adapter'));
}
