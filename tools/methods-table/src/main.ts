// Writes the table of methods into the README, from a matrix that `node tools/test.mjs --matrix=FILE` left; with `--check` only tells
// whether it is current.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { goldenLibraries } from '@peftjs/golden';
import type { MatrixCell } from '../../method-matrix.mjs';
import { records } from './families.ts';
import { methodsTable, withTable } from './table.ts';

const readme = fileURLToPath(new URL('../../../README.md', import.meta.url));
const [matrixFile, check] = process.argv.slice(2);
if (matrixFile === undefined) throw new Error('usage: main.ts MATRIX.json [--check]');

const matrix = JSON.parse(readFileSync(matrixFile, 'utf8')) as MatrixCell[];
const old = readFileSync(readme, 'utf8');
const text = withTable(old, methodsTable(records, matrix, goldenLibraries()));
if (check !== '--check') {
  writeFileSync(`${readme}.tmp`, text);
  renameSync(`${readme}.tmp`, readme);
} else if (text !== old) {
  console.error('README.md: the table of methods is not current; pnpm methods writes it anew');
  process.exitCode = 1;
}
