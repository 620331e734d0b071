import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './workspace.ts';

const page = readFileSync(join(root, 'docs/security.md'), 'utf8');

/** The rows of tables, without heads and rules. */
const rows = page
  .split('\n')
  .filter((line, i, lines) => line.startsWith('| ') && !/^\| -/.test(line) && !/^\| -/.test(lines[i + 1] ?? ''));

/** The faults of a row: it names no test, or one that is not there. */
const faultOf = (row: string): string | null => {
  const [, path, name] = /\| `([^`]+)` "(.+)" \|$/.exec(row) ?? [];
  if (path === undefined || name === undefined) return 'names no test';
  if (!existsSync(join(root, path))) return `there is no ${path}`;
  const isThere = readFileSync(join(root, path), 'utf8').includes(name);
  return isThere ? null : `${path} has no test "${name}"`;
};

test('every promise of docs/security.md has its test', () => {
  expect(rows.length).toBeGreaterThan(25);
  expect(rows.flatMap((row) => faultOf(row) ?? [])).toEqual([]);
  expect(faultOf('| nothing is lost |')).toBe('names no test');
  expect(faultOf('| it is so | `packages/io/test/files.test.ts` "no such name" |')).toContain('has no test');
});
