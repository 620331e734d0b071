import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { modelsTable, withModels } from '../src/models-table.ts';

test('docs/models.md has a row for each model that can be loaded, as its goldens tell; `pnpm models` writes it anew', async () => {
  const page = await readFile(join(import.meta.dirname, '../../../docs/models.md'), 'utf8');
  expect(page).toBe(withModels(page, await modelsTable()));
});

test('the table goes between its marks and nothing else changes', () => {
  const page = 'a\n<!-- models: pnpm models -->\nold\n<!-- end of models -->\nb\n';
  expect(withModels(page, 'new')).toBe('a\n<!-- models: pnpm models -->\n\nnew\n\n<!-- end of models -->\nb\n');
  expect(() => withModels('none', 'new')).toThrow('the page has no');
});
