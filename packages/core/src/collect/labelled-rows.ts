import { PeftError } from '@peftjs/tensor';
import type { Examples } from '../method.ts';
import { rowsOf } from './rows-of.ts';

/** The rows of batches one by one, the first so many, those that have a label. Throws `bad-option` where none has. */
export const labelledRows = (who: string, data: readonly Examples[], most: number): Examples[] => {
  const rows = data
    .flatMap(rowsOf)
    .slice(0, most)
    .filter(({ columns: { labels } }) => labels?.some((label) => label !== -100));
  if (rows.length === 0) throw new PeftError('bad-option', `${who}: none of the examples has a label to learn`);
  return rows;
};
