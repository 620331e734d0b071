import { describe, expect, test } from 'vitest';
import {
  cycleIn,
  fileGraph,
  importsOf,
  nodeAtLoad,
  packageGraph,
  reachingIn,
  undeclared,
  wrongDirections,
} from './imports.ts';
import { apps, packages } from './workspace.ts';

describe('imports', () => {
  test('go from the upper layers to the lower ones', () => expect(wrongDirections()).toEqual([]));
  test('are declared in the package.json of who imports', () => expect(undeclared()).toEqual([]));
  test('name what a package exports, never its files', () => expect(reachingIn()).toEqual([]));
  test('leave the modules of Node to those who use them', () => expect(nodeAtLoad()).toEqual([]));
  test('make no cycle of packages, tests included', () => expect(cycleIn(packageGraph())).toBeUndefined());
  test.each([...packages, ...apps].map((pkg) => [pkg.id, pkg] as const))('make no cycle of files in %s', (_, pkg) =>
    expect(cycleIn(fileGraph(pkg))).toBeUndefined(),
  );
});

describe('the checks themselves', () => {
  test('see every form of import', () => {
    const text = `import a from 'a'; import type { B } from 'b'; export * as c from 'c'; const d = import('d'); import 'e'; type F = import('f').F;`;
    expect(importsOf('x.ts', text).map(({ specifier }) => specifier)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  test('find a cycle, and none in a diamond', () => {
    const edges = (text: string): Map<string, string[]> =>
      new Map(text.split(' ').map((row) => [row[0]!, row.slice(2).split('').filter(Boolean)]));
    expect(cycleIn(edges('a>bc b>d c>d d>'))).toBeUndefined();
    expect(cycleIn(edges('a>b b>c c>db d>'))).toEqual(['b', 'c', 'b']);
  });
});
