import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { records, titles } from '../src/families.ts';
import { detailsTable, familyLists } from '../src/table.ts';

const page = (name: string): Promise<string> => readFile(new URL(`../../../${name}`, import.meta.url), 'utf8');

// Of the laws nothing is needed for these; that the other table is current, a whole run of the tests tells at its end.
test.each([
  ['README.md', familyLists(records, titles)],
  ['docs/methods.md', detailsTable(records)],
])('%s tells of the methods as they are; pnpm methods writes it anew', async (name, table) => {
  const lines = new Set((await page(name)).split('\n'));
  expect(table.split('\n').filter((line) => !lines.has(line))).toEqual([]);
});

test('docs/methods.md has its rows in the order of the methods', async () => {
  const text = await page('docs/methods.md');
  const found = [...text.matchAll(/^\| \[`(\w+)`\]/gm)].map(([, name]) => name);
  const names = records.map(({ name }) => name);
  expect(found).toEqual([...names, ...names]);
});
