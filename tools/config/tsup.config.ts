import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { defineConfig, type Options } from 'tsup';
import { pureCalls } from './pure-calls.ts';

/** What is built: the entries of the package.json that name both a source and a file in `dist`. */
const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: Record<string, Record<string, string>> };
const entry = Object.fromEntries(
  Object.values(exports)
    .filter((target) => target['@peftjs/source'] && target['default'])
    .map((target) => [basename(target['default']!, '.js'), target['@peftjs/source']!]),
);

const options: Options = {
  entry,
  format: ['esm'],
  target: 'node20',
  dts: true,
  clean: true,
  // One file per entry and no source map: dependencies, other packages of the workspace among them, stay imports.
  splitting: true,
  plugins: [pureCalls],
};

export default defineConfig(options) as Options;
