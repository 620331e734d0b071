import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { root } from './workspace.ts';

const page = readFileSync(join(root, 'docs/security.md'), 'utf8');

/** The rows of tables, without heads and rules. */
const rows = page
  .split('\n')
  .filter((line, i, lines) => line.startsWith('| ') && !/^\| -/.test(line) && !/^\| -/.test(lines[i + 1] ?? ''));

/** `test` of `test.each(rows)(…)`. */
const rootOf = (node: ts.Expression): ts.Expression => {
  if (ts.isCallExpression(node) || ts.isPropertyAccessExpression(node)) return rootOf(node.expression);
  return ts.isTaggedTemplateExpression(node) ? rootOf(node.tag) : node;
};

/** Titles of tests and of groups of them in a file; none of tests that are skipped or still to be written. */
const titlesOf = (source: string): string[] => {
  const titles: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const called = node.expression;
      const of = rootOf(called);
      const [first] = node.arguments;
      if (ts.isIdentifier(of) && ['describe', 'it', 'test'].includes(of.text) && first) {
        if (/\.(skip|todo)\b/.test(called.getText())) return;
        if (ts.isStringLiteralLike(first)) titles.push(first.text);
        else if (ts.isTemplateExpression(first))
          titles.push([first.head, ...first.templateSpans.map(({ literal }) => literal)].map((l) => l.text).join('…'));
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('x.ts', source, ts.ScriptTarget.Latest, true));
  return titles;
};

/** The faults of a row: it names no test, or one that is not there. */
const faultOf = (row: string): string | null => {
  const [, path, name] = /\| `([^`]+)` "(.+)" \|$/.exec(row) ?? [];
  if (path === undefined || name === undefined) return 'names no test';
  if (!existsSync(join(root, path))) return `there is no ${path}`;
  const isThere = titlesOf(readFileSync(join(root, path), 'utf8')).some((title) => title.includes(name));
  return isThere ? null : `${path} has no test "${name}"`;
};

test('every promise of docs/security.md has its test', () => {
  expect(rows.length).toBeGreaterThan(25);
  expect(rows.flatMap((row) => faultOf(row) ?? [])).toEqual([]);
  expect(faultOf('| nothing is lost |')).toBe('names no test');
  expect(faultOf('| it is so | `packages/io/test/files.test.ts` "no such name" |')).toContain('has no test');
  expect(faultOf('| it is so | `packages/io/test/files.test.ts` "vitest" |'), 'a word of the file').toContain(
    'no test',
  );
});

test('titles are those of tests that run', () => {
  expect(
    titlesOf(`
      // test('of a comment', f);
      const text = "test('of a text', f)";
      describe('group', () => { it('one', f); test.skip('two', f); test.todo('three'); describe.skip('off', () => test('four', f)); });
      test.each([['x', 'row']])('%s of a table', f);
      test.each\`a\`(\`with \${1} in it\`, f);
    `),
  ).toEqual(['group', 'one', '%s of a table', 'with … in it']);
});
