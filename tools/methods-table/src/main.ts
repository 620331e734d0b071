// Writes the tables of methods into the README and docs/methods.md, from a matrix that `node tools/test.mjs --matrix=FILE` left; with
// `--check` only tells whether they are current.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { goldenLibraries } from '@peftjs/golden';
import type { MatrixCell } from '../../method-matrix.mjs';
import { records, titles } from './families.ts';
import { detailsTable, familyLists, methodsTable, withTable } from './table.ts';

const [matrixFile, check] = process.argv.slice(2);
if (matrixFile === undefined) throw new Error('usage: main.ts MATRIX.json [--check]');

const matrix = JSON.parse(readFileSync(matrixFile, 'utf8')) as MatrixCell[];
const table = methodsTable(records, matrix, goldenLibraries());
const pages = {
  'README.md': familyLists(records, titles),
  'docs/methods.md': `${table.replaceAll('](packages/', '](../packages/')}\n\n${detailsTable(records)}`,
};

for (const [name, tables] of Object.entries(pages)) {
  const file = fileURLToPath(new URL(`../../../${name}`, import.meta.url));
  const old = readFileSync(file, 'utf8');
  const text = withTable(old, tables);
  if (text === old) continue;
  if (check === '--check') {
    const lines = text.split('\n');
    const oldLines = old.split('\n');
    const at = lines.findIndex((line, i) => line !== oldLines[i]);
    console.error(
      `${name}:${at + 1}: the table of methods is not current; pnpm methods writes it anew. There: ${oldLines[at]}\nIt would be: ${lines[at]}`,
    );
    process.exitCode = 1;
  } else {
    writeFileSync(`${file}.tmp`, text);
    renameSync(`${file}.tmp`, file);
  }
}
