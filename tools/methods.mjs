// `pnpm methods`: runs the laws of all methods and writes the table of methods in the README from what they passed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './pnpm.mjs';

/** Runs the generator on a matrix; `--check` only compares. Returns its exit code. */
export const methodsTable = (matrixFile, ...options) =>
  spawnSync(
    process.execPath,
    ['--conditions=@peftjs/source', '--import', 'tsx', 'tools/methods-table/src/main.ts', matrixFile, ...options],
    { cwd: root, stdio: 'inherit' },
  ).status ?? 1;

if (process.argv[1] === join(root, 'tools', 'methods.mjs')) {
  const folder = mkdtempSync(join(tmpdir(), 'peftjs-methods-'));
  const matrix = join(folder, 'matrix.json');
  const { status } = spawnSync(process.execPath, ['tools/test.mjs', `--matrix=${matrix}`, 'laws.test.ts'], {
    cwd: root,
    stdio: 'inherit',
  });
  process.exitCode = status === 0 ? methodsTable(matrix) : (status ?? 1);
  rmSync(folder, { recursive: true });
}
