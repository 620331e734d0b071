// Writes the adapters that `check_families.py` reads: those on the models that are named, or all of src/families.ts
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { familyAdapters, familyWritten } from './src/families.ts';
import { writeFamilyAdapter } from './src/write-family-adapter.ts';

const names = process.argv.slice(2);
for (const golden of familyAdapters) {
  if (names.length > 0 && !names.includes(golden.name)) continue;
  const dir = familyWritten(golden.name, golden.adapter);
  await rm(dir, { recursive: true, force: true });
  await writeFamilyAdapter(golden, join(dir, 'adapter'));
}
