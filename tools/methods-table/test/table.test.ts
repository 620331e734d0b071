import { expect, test } from 'vitest';
import { detailsTable, type Entry, familyLists, methodsTable, withTable } from '../src/table.ts';

const entry = (name: string, merges: boolean): Entry => ({
  name,
  about: 'a few values',
  family: 'lora',
  merges,
  peftType: name.toUpperCase(),
  learningRate: 2e-3,
  options: ['rank', 'alpha'],
  paper: { authors: 'Doe', year: 2020, title: 'T', url: 'https://example.org' },
});
const cell = (method: string, format: string, executor: string, failed = 0) => ({
  method,
  architecture: 'llama',
  format,
  executor,
  passed: 3,
  refused: false,
  failed,
});

test('a row says what a method is and what it passed', () => {
  const cells = [
    cell('a', 'dense', 'reference'),
    cell('a', 'nf4', 'reference'),
    cell('a', 'nf4', 'webgpu', 1),
    cell('b', 'dense', 'cpu'),
  ];
  const table = methodsTable([entry('a', true), entry('b', false)], cells, new Map([['a', new Set(['PEFT'])]]));
  expect(table.split('\n').slice(2)).toEqual([
    '| [`a`](packages/lora) | [Doe, 2020](https://example.org) | yes | – | – | reference | PEFT |',
    '| [`b`](packages/lora) | [Doe, 2020](https://example.org) | – | llama | – | cpu | – |',
  ]);
});

test('the README lists them by family, each with its paper', () => {
  const lists = familyLists([entry('a', true), entry('b', false)], {
    lora: 'LoRA and its kin',
    prompts: 'soft prompts',
  });
  expect(lists.split('\n').slice(2)).toEqual([
    '| [LoRA and its kin](packages/lora) | 2 | [`a`](https://example.org), [`b`](https://example.org) |',
    '| [soft prompts](packages/prompts) | 0 |  |',
  ]);
});

test('the page says how a method is called', () => {
  expect(
    detailsTable([entry('a', true)])
      .split('\n')
      .at(-1),
  ).toBe('| [`a`](../packages/lora) | a few values | T | `A` | 0.002 | `rank`, `alpha` |');
});

test('a method without a test has no row but an error', () => {
  expect(() => methodsTable([entry('a', true)], [], new Map())).toThrow('no law of a ran');
});

test('the table goes between its marks and nothing else changes', () => {
  const text = 'before\n<!-- methods: pnpm methods -->\nold\n<!-- end of methods -->\nafter\n';
  const once = withTable(text, 'new');
  expect(once).toBe('before\n<!-- methods: pnpm methods -->\n\nnew\n\n<!-- end of methods -->\nafter\n');
  expect(withTable(once, 'new')).toBe(once);
  expect(() => withTable('none', 'new')).toThrow('the text has no');
});
