// Writes the adapters that `check_all.py` reads. Usage: export-methods.ts [NAME...]; without names, all of src/goldens.ts
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { written } from './src/goldens.ts';
import { writtenDir } from './src/python-golden.ts';
import { writeAdapter } from './src/write-adapter.ts';

const names = process.argv.slice(2);
const odd = names.filter((name) => !written.some((golden) => golden.name === name));
if (odd.length > 0)
  throw new Error(`${odd.join(', ')}: not in src/goldens.ts; there are ${written.map(({ name }) => name).join(', ')}`);
for (const golden of written.filter(({ name }) => names.length === 0 || names.includes(name))) {
  await rm(writtenDir(golden.name), { recursive: true, force: true });
  await writeAdapter(golden, join(writtenDir(golden.name), 'adapter'));
}
