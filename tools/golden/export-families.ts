// Writes the adapters that `check_families.py` reads: those on the models that are named, or all of src/families.ts
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { saveHead } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import { familyAdapters, familyWritten, openAdapter } from './src/families.ts';
import { writeFamilyAdapter } from './src/write-family-adapter.ts';

const names = process.argv.slice(2);
for (const golden of familyAdapters) {
  if (names.length > 0 && !names.includes(golden.name)) continue;
  const dir = familyWritten(golden.name, golden.adapter);
  await rm(dir, { recursive: true, force: true });
  await writeFamilyAdapter(golden, join(dir, 'adapter'));
  if (!golden.task.stack) continue;
  const saved = await openAdapter(golden, join(dir, 'adapter'), golden.format);
  await saveHead(saved, join(dir, 'head'), { executor: reference() });
  // The folder of this checkout is nobody's business.
  const config = join(dir, 'head/head_config.json');
  await writeFile(config, (await readFile(config, 'utf8')).replace(/("model_name": )"[^"]*"/, `$1"${golden.name}"`));
}
