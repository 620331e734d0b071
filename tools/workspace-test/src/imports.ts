import { readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join, posix } from 'node:path';
import ts from 'typescript';
import { moduleSpecifiers } from '../../config/module-specifiers.ts';
import { forNode, mayImport, programs } from './layers.ts';
import { apps, filesIn, type Package, packages, root } from './workspace.ts';

/** One import of a file: what is written between the quotes. */
export interface Import {
  readonly file: string;
  readonly specifier: string;
}

/** Tests, and what only tests of the workspace use. */
const isTest = (file: string): boolean => /\.test\.ts$|\/test(ing)?\//.test(file);
const packageOf = (specifier: string): string => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
const isRelative = (specifier: string): boolean => specifier.startsWith('.');

/** All imports, exports from and dynamic imports of a file, types included. */
export function importsOf(file: string, text: string = readFileSync(join(root, file), 'utf8')): readonly Import[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023);
  return moduleSpecifiers(source).map((literal) => ({ file, specifier: literal.text }));
}

const importsIn = (pkg: Package, part: string): readonly Import[] =>
  filesIn(pkg, part).flatMap((file) => importsOf(file));
const say = ({ file, specifier }: Import, why: string): string => `${file} imports '${specifier}': ${why}`;

/** Imports of another package that the direction of the layers forbids, in its sources and in its manifest. */
export function wrongDirections(): readonly string[] {
  return packages.flatMap((pkg) => {
    if (programs.includes(pkg.id)) return [];
    const allowed = mayImport[pkg.id];
    if (!allowed)
      return [`${pkg.folder} has no row in tools/workspace-test/src/layers.ts: say there what it may import`];
    const names = allowed.map((id) => `@peftjs/${id}`);
    const wrong = (name: string): boolean =>
      name.startsWith('@peftjs/') && name !== pkg.manifest.name && !names.includes(name);
    const inSources = importsIn(pkg, 'src').filter(
      ({ file, specifier }) => !isTest(file) && wrong(packageOf(specifier)),
    );
    const inManifest = Object.keys(pkg.manifest.dependencies ?? {}).filter(wrong);
    const why = `${pkg.id} may import ${allowed.join(', ') || 'no other package'}`;
    return [
      ...inSources.map((found) => say(found, why)),
      ...inManifest.map((name) => `${pkg.folder}/package.json depends on ${name}: ${why}`),
    ];
  });
}

/** Imports of packages that the manifest does not declare: what `src` uses must be a dependency, tests may use devDependencies. */
export function undeclared(): readonly string[] {
  return [...packages, ...apps].flatMap((pkg) => {
    const { dependencies, peerDependencies, devDependencies, name: own } = pkg.manifest;
    const runtime = new Set([own, ...Object.keys({ ...dependencies, ...peerDependencies })]);
    const all = new Set([...runtime, ...Object.keys(devDependencies ?? {})]);
    return ['src', 'test', 'tools'].flatMap((part) =>
      importsIn(pkg, part)
        .filter(({ specifier }) => !isRelative(specifier) && !isBuiltin(specifier))
        .filter(({ file, specifier }) => !(part === 'src' && !isTest(file) ? runtime : all).has(packageOf(specifier)))
        .map((found) => say(found, `${pkg.folder}/package.json does not declare it`)),
    );
  });
}

/** Imports that reach into another package's files instead of naming what it exports. */
export function reachingIn(): readonly string[] {
  const exported = new Map(packages.map(({ manifest }) => [manifest.name, Object.keys(manifest.exports ?? {})]));
  return [...packages, ...apps].flatMap((pkg) =>
    ['src', 'test', 'tools'].flatMap((part) =>
      importsIn(pkg, part).flatMap((found) => {
        const { file, specifier } = found;
        if (isRelative(specifier)) {
          const target = posix.join(posix.dirname(file), specifier);
          return target.startsWith(`${pkg.folder}/`)
            ? []
            : [say(found, 'it leaves the package; import the package by name')];
        }
        const entries = exported.get(packageOf(specifier));
        const entry = `.${specifier.slice(packageOf(specifier).length)}`;
        const known =
          !entries || entries.some((e) => e === entry || (e.endsWith('*') && entry.startsWith(e.slice(0, -1))));
        return known ? [] : [say(found, `${packageOf(specifier)} exports ${entries.join(', ')}`)];
      }),
    ),
  );
}

/** Modules of Node in files that are read when a package is loaded, and not only where something of it is used. */
export function nodeAtLoad(): readonly string[] {
  return packages
    .filter(({ id }) => !forNode.includes(id))
    .flatMap((pkg) => {
      const graph = fileGraph(pkg);
      const entries = Object.values(pkg.manifest.exports ?? {}).flatMap((target) => {
        const source = Object(target)['@peftjs/source'];
        return typeof source === 'string' ? [posix.join(pkg.folder, source)] : [];
      });
      const read = new Set<string>();
      const visit = (file: string): void => {
        if (read.has(file)) return;
        read.add(file);
        for (const next of graph.get(file) ?? []) visit(next);
      };
      for (const entry of entries) visit(entry);
      return [...read].flatMap((file) =>
        valueImportsOf(file)
          .filter(isBuiltin)
          .map((specifier) =>
            say({ file, specifier }, 'browsers load it; ask for it where it is used, or list the package in forNode'),
          ),
      );
    });
}

/** The first cycle found in a graph, as the list of its nodes; undefined where there is none. */
export function cycleIn(edges: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const done = new Set<string>();
  const visit = (node: string, path: readonly string[]): readonly string[] | undefined => {
    const at = path.indexOf(node);
    if (at >= 0) return [...path.slice(at), node];
    if (done.has(node)) return;
    for (const next of edges.get(node) ?? []) {
      const cycle = visit(next, [...path, node]);
      if (cycle) return cycle;
    }
    done.add(node);
    return;
  };
  for (const node of edges.keys()) {
    const cycle = visit(node, []);
    if (cycle) return cycle;
  }
  return;
}

/** Packages by what their manifests depend on, tests included: turbo and pnpm order their work by these. */
export function packageGraph(): ReadonlyMap<string, readonly string[]> {
  return new Map(
    packages.map(({ manifest }) => [
      manifest.name,
      Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }).filter((name) =>
        name.startsWith('@peftjs/'),
      ),
    ]),
  );
}

/** What a file imports when it is loaded: imports of types are erased, `import()` comes later. */
function valueImportsOf(file: string): readonly string[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.ES2023);
  return source.statements.flatMap((statement) => {
    if (ts.isImportDeclaration(statement) && statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword)
      return [];
    if (ts.isExportDeclaration(statement) && statement.isTypeOnly) return [];
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return [];
    const from = statement.moduleSpecifier;
    return from && ts.isStringLiteral(from) ? [from.text] : [];
  });
}

/**
 * Files of a package by what they import from each other when they run; imports of types are erased. Within a folder
 * `ops` cycles are in the nature of things, since the gradient of a sum is a broadcast and the gradient of a broadcast
 * is a sum: such edges are left out.
 */
export function fileGraph(pkg: Package): ReadonlyMap<string, readonly string[]> {
  const isOp = (file: string): boolean => file.includes('/src/ops/');
  return new Map(
    filesIn(pkg, 'src').map((file) => {
      const targets = valueImportsOf(file)
        .filter(isRelative)
        .map((specifier) => posix.join(posix.dirname(file), specifier));
      return [file, targets.filter((target) => !(isOp(file) && isOp(target)))];
    }),
  );
}
