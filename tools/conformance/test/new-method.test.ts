import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { architectures, familyLaws, methodLaws } from '@peftjs/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { plan } from '../../new.mjs';

const laws = `import { describeMethods } from '@peftjs/testkit';

describeMethods(family, {
  lora: {},
});
`;

let base: string;
/** A workspace with one family; inside this package, so that what is made there finds its imports. */
beforeAll(async () => {
  base = await mkdtemp(join(import.meta.dirname, '.new-method-'));
  for (const folder of ['.changeset', 'packages/lora/src', 'packages/lora/test'])
    await mkdir(join(base, folder), { recursive: true });
  await writeFile(join(base, 'packages/lora/src/index.ts'), "export { lora } from './lora.ts';\n");
  await writeFile(join(base, 'packages/lora/test/laws.test.ts'), laws);
});
afterAll(() => rm(base, { recursive: true }));

test('a new method is one file, one export line, one row of laws and a changeset', () => {
  const texts = new Map([...plan(base, 'lora', 'fooBar')].map(([path, text]) => [relative(base, path), text]));
  expect([...texts.keys()].sort()).toEqual([
    '.changeset/foo-bar.md',
    'packages/lora/src/foo-bar.ts',
    'packages/lora/src/index.ts',
    'packages/lora/test/laws.test.ts',
  ]);
  expect(texts.get('packages/lora/src/index.ts')).toBe(
    "export { fooBar, type FooBarOptions } from './foo-bar.ts';\nexport { lora } from './lora.ts';\n",
  );
  expect(texts.get('packages/lora/test/laws.test.ts')).toMatch(/ {2}lora: \{\},\n {2}fooBar: \{\n[^]*\n\}\);\n$/);
  expect(texts.get('.changeset/foo-bar.md')).toContain("'@peftjs/lora': minor");
});

test('says what is wrong, and changes nothing', async () => {
  expect(() => plan(base, 'loras', 'fooBar')).toThrow('there is no family loras; there are adapters');
  expect(() => plan(base, 'lora', 'Foo-Bar')).toThrow("a name is the paper's in lower camel");
  await writeFile(join(base, 'packages/lora/src/known.ts'), '');
  expect(() => plan(base, 'lora', 'known')).toThrow('packages/lora/src/known.ts is there already');
  expect(await readFile(join(base, 'packages/lora/test/laws.test.ts'), 'utf8')).toBe(laws);
});

describe.each(Object.entries(architectures))('what it makes passes the laws on %s', (_, make) => {
  const of = async () => {
    const file = join(base, 'packages/lora/src/foo-bar.ts');
    await writeFile(file, plan(base, 'lora', 'fooBar').get(file)!);
    const { fooBar } = await import(file);
    await rm(file);
    const parameters = ({ linears }: ReturnType<typeof make>): number =>
      [...linears].reduce(
        (n, [path, { outDim }]) => n + (/^(lm_head|classifier)$|patch_embedding/.test(path) ? 0 : outDim),
        0,
      );
    const { towers } = make();
    const isDecoder = towers.length === 1 && towers[0].attends === 'before';
    return (isDecoder ? methodLaws : familyLaws)({
      factory: fooBar,
      row: { options: {} as never, parameters },
      base: make,
    });
  };
  test('all of them', async () => {
    for (const { name, check } of await of())
      await check().catch((cause: unknown) => Promise.reject(new Error(name, { cause })));
  });
});
