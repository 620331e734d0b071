import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { umbrella } from './layers.ts';
import { filesIn, packages, root } from './workspace.ts';

const published = packages.filter(({ manifest }) => !manifest.private).map((pkg) => [pkg.id, pkg] as const);
const rootManifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

describe.each(published)('%s', (id, { folder, manifest }) => {
  test('has the manifest that all published packages have', () => {
    expect(manifest).toMatchObject({
      name: id === umbrella ? id : `@peftjs/${id}`,
      description: expect.stringMatching(/^[A-Z@s].{20,}\.$/),
      license: 'Apache-2.0',
      type: 'module',
      sideEffects: false,
      engines: rootManifest.engines,
      files: expect.arrayContaining(['dist']),
      scripts: { build: 'tsup --config ../../tools/config/tsup.config.ts', types: 'tsc -p .', test: 'vitest run' },
    });
  });

  test('has a README', () => expect(existsSync(join(root, folder, 'README.md'))).toBe(true));

  test('exports its source, its types and its code, from files that say so', () => {
    const all = Object.entries(manifest.exports ?? {}).filter(([, target]) => typeof target === 'object');
    // An entry that has a source alone is for the workspace's own tests.
    const entries = all.filter(([, target]) => Object.keys(target as object).join() !== '@peftjs/source');
    expect(entries.map(([entry]) => entry)).toContain('.');
    for (const [entry, target] of entries) {
      const name = entry === '.' ? 'index' : entry.slice(2);
      const source = Object(target)['@peftjs/source'] as string;
      expect(source).toMatch(new RegExp(`^\\./src/(.*/)?${name}(/index)?\\.ts$`));
      const built = source.replace('./src/', './dist/').replace(/\.ts$/, '');
      expect(target).toEqual({ '@peftjs/source': source, types: `${built}.d.ts`, default: `${built}.js` });
      expect(existsSync(join(root, folder, (target as Record<string, string>)['@peftjs/source']!))).toBe(true);
    }
  });
});

const sourceOf = (target: unknown): string => Object(target)['@peftjs/source'] ?? './src/index.ts';
const entries = packages.flatMap(({ folder, manifest }) =>
  [...new Set(Object.values(manifest.exports ?? { '.': {} }).map(sourceOf))].map((file) => join(folder, file)),
);

test.each(entries.filter((file) => !file.includes('/testing/')))(
  '%s lists exports by name and does nothing else',
  (file) => {
    const text = readFileSync(join(root, file), 'utf8');
    // The umbrella hands on whatever the others list.
    const listed = file.includes(`/${umbrella}/`) ? text.replaceAll(/export \* from '@peftjs\/[^']+';/g, '') : text;
    const rest = listed
      .replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, '')
      .replaceAll(/export (type )?(\{[^}]*\}|\* as \w+) from '[^']+';/g, '')
      .replaceAll(/export \{\};/g, '');
    expect(rest.trim()).toBe('');
  },
);

test('own files are imported with their extension', () => {
  const wrong = packages
    .flatMap((pkg) => ['src', 'test'].flatMap((part) => filesIn(pkg, part)))
    .filter((file) => /from '\.[^']*(?<!\.m?ts|\.mjs|\.json)'/.test(readFileSync(join(root, file), 'utf8')));
  expect(wrong).toEqual([]);
});

test('the pnpm that is pinned is the pnpm that is installed', () => {
  expect(`pnpm@${rootManifest.devDependencies.pnpm}`).toBe(rootManifest.packageManager);
});
