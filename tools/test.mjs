// Runs every test of the workspace in one Vitest, and closes with one plain line of counts. Arguments go to Vitest, but for
// `--matrix=<file>`: there the matrix of methods is written as JSON; and `--full`: every method on every base, not the covering selection.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { coverage } from './coverage.mjs';
import { failures } from './failed.mjs';
import { longest } from './longest.mjs';
import { matrixOf, printedMatrix } from './method-matrix.mjs';
import { methodsTable } from './methods.mjs';
import { root } from './pnpm.mjs';

const folder = mkdtempSync(join(tmpdir(), 'peftjs-test-'));
const report = join(folder, 'report.json');
const isMatrix = (argument) => argument.startsWith('--matrix=');
const isFull = (argument) => argument === '--full';
const full = process.argv.some(isFull);
const given = process.argv.slice(2).filter((argument) => !isFull(argument));
const matrixFile = given.find(isMatrix)?.slice('--matrix='.length);
const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
const { status } = spawnSync(
  process.execPath,
  [
    vitest,
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...given.filter((argument) => !isMatrix(argument)),
  ],
  {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...(full && { PEFTJS_FULL: '1' }) },
  },
);

const results = read(report);
const { passed, failed, skipped } = counts(results);
let tableIsCurrent = true;
if (results) {
  const matrix = matrixOf(results);
  const printed = printedMatrix(matrix);
  console.log(`\n${coverage(results)}${printed && `\n\n${printed}`}`);
  if (given.length === 0) console.log(`\n${longest(results, root)}`);
  if (failed > 0) console.log(`\nFailed:\n${failures(results, root)}`);
  const file = matrixFile ?? join(folder, 'matrix.json');
  writeFileSync(file, `${JSON.stringify(matrix, null, 2)}\n`);
  // Of a part of the tests the table would know only a part.
  if (given.length === 0 && failed === 0) tableIsCurrent = methodsTable(file, '--check') === 0;
}
rmSync(folder, { recursive: true, force: true });
const stopped =
  status !== 0 && failed === 0
    ? '; Vitest ended with an error of its own, told above: a process that ended before its tests'
    : '';
const stale = tableIsCurrent ? '' : '; the table of methods is not current';
console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped${stopped}${stale}`);
process.exitCode = status === 0 && (failed > 0 || !tableIsCurrent) ? 1 : (status ?? 1);

function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}

/** A file that could not be loaded counts as one failed test, and so does a run that left no report. */
function counts(results) {
  if (!results) return { passed: 0, failed: 1, skipped: 0 };
  const broken = results.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
  );
  return {
    passed: results.numPassedTests,
    failed: results.numFailedTests + broken.length,
    skipped: results.numPendingTests + (results.numTodoTests ?? 0),
  };
}
