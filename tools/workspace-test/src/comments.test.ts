import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { apps, filesIn, packages, root } from './workspace.ts';

/** The doc comments of a text that begin with "What", each with its line. */
const beginningWithWhat = (text: string): string[] =>
  [...text.matchAll(/\/\*\*(?:\s|\*(?!\/))*(What\b.*)/g)].map(
    ({ index, 1: words }) => `${text.slice(0, index).split('\n').length}: ${words}`,
  );

test('a doc comment names the noun first', () => {
  expect(beginningWithWhat('/** What it is. */\n/** A thing: what it is. */\n/**\n * What it does.\n */')).toEqual([
    '1: What it is. */',
    '3: What it does.',
  ]);
  const found = [...packages, ...apps].flatMap((pkg) =>
    filesIn(pkg, 'src').flatMap((path) =>
      beginningWithWhat(readFileSync(join(root, path), 'utf8')).map((line) => `${path}:${line}`),
    ),
  );
  expect(found).toEqual([]);
});
