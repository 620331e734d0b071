import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { defineConfig, type Options } from 'tsup';
import { withoutBareImports } from './bare-imports.ts';
import { declarations } from './declarations.ts';
import { pureCalls } from './pure-calls.ts';

/** What is built: the entries of the package.json that name both a source and a file in `dist`. */
const { exports, bundledApart = [] } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  exports: Record<string, Record<string, string>>;
  /** Sources that are files of their own in `dist`, which no one imports by name: what a bundler leaves out, it leaves out by files. */
  bundledApart?: readonly string[];
};
const entries = Object.values(exports)
  .filter((target) => target['@peftjs/source'] && target['default'])
  .map((target) => relative('.', target['@peftjs/source']!));

/** One file per entry, and those that are to be apart. Dependencies, other packages of the workspace among them, stay imports. */
const options: Options = {
  entry: Object.fromEntries(
    [...entries, ...bundledApart].map((source) => [relative('src', source).replace(/\.ts$/, ''), source]),
  ),
  format: ['esm'],
  target: 'node20',
  clean: true,
  plugins: [withoutBareImports, pureCalls, declarations(entries)],
};

export default defineConfig(options) as Options;
