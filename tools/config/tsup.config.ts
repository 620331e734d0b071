import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { defineConfig, type Options } from 'tsup';
import { declarations } from './declarations.ts';
import { pureCalls } from './pure-calls.ts';

/** What is built: the entries of the package.json that name both a source and a file in `dist`. */
const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  exports: Record<string, Record<string, string>>;
};
const entries = Object.values(exports)
  .filter((target) => target['@peftjs/source'] && target['default'])
  .map((target) => relative('.', target['@peftjs/source']!));

/** One file per entry. Dependencies, other packages of the workspace among them, stay imports. */
const options: Options = {
  entry: Object.fromEntries(entries.map((source) => [relative('src', source).replace(/\.ts$/, ''), source])),
  format: ['esm'],
  target: 'node20',
  clean: true,
  plugins: [pureCalls, declarations(entries)],
};

export default defineConfig(options) as Options;
