import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import { plannedSteps } from '../roofline/roofline.ts';
import { type Page, performancePage } from './page.ts';
import { readProfiles } from './profiles.ts';
import type { Results } from './results.ts';

/** The page that a folder of results makes, and the results that it has no use for. */
export const makePage = async (
  folder: string,
): Promise<{ readonly page: Page; readonly unused: readonly string[] }> => {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json')).sort();
  const files = await Promise.all(
    names.map(async (name) => [name, JSON.parse(await readFile(join(folder, name), 'utf8')) as Results] as const),
  );
  const page = performancePage(
    files.map(([, results]) => results),
    await plannedSteps(),
    await readProfiles(folder),
  );
  return { page, unused: files.filter(([, results]) => !page.used.has(results)).map(([name]) => name) };
};

/** Files of the page by their path in a folder of documents. */
export const filesOf = ({ text, figures }: Page): ReadonlyMap<string, string> =>
  new Map([
    ['performance.md', text],
    ...[...figures].map(([name, svg]): [string, string] => [`performance/${name}`, svg]),
  ]);

/** Writes the page and its figures. */
export const writePage = async (results: string, docs: string, say: (text: string) => void): Promise<void> => {
  const { page, unused } = await makePage(results);
  await rm(join(docs, 'performance'), { recursive: true, force: true });
  await mkdir(join(docs, 'performance'), { recursive: true });
  for (const [name, text] of filesOf(page)) await writeFileAtomic(join(docs, name), text);
  say(`written: ${[...filesOf(page).keys()].join(', ')}`);
  if (unused.length > 0) say(`older than what is shown, so to be deleted: ${unused.join(', ')}`);
};
