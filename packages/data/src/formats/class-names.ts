import { PeftError } from '@peftjs/tensor';
import type { Stream } from '../stream.ts';
import type { LabelItem, TagItem } from './items.ts';

const most = 10_000;

/** Names in the order of their letters; those that are all whole numbers in the order of these. */
const sorted = (names: readonly string[]): readonly string[] =>
  names.every((name) => /^\d{1,15}$/.test(name))
    ? [...names].sort((a, b) => Number(a) - Number(b))
    : [...names].sort((a, b) => (a < b ? -1 : 1));

/**
 * The names of the classes of labels or tags, gathered by reading all items once, in the order of their letters; the number of a class is its
 * place. Labels that are numbers already, 0 and up, name themselves: `0`, `1`, …, without a gap. Throws `bad-data` for labels of both kinds, for
 * numbers that are no classes, and for more than 10,000 names.
 */
export const classNames = async (items: Stream<LabelItem | TagItem>): Promise<readonly string[]> => {
  const names = new Set<string>();
  let highest = -1;
  for await (const item of items.open()) {
    const label = 'tags' in item ? item.tags : item.label;
    for (const one of typeof label === 'object' ? label : [label]) {
      if (typeof one === 'string') names.add(one);
      else if (Number.isInteger(one) && one >= 0 && one < most) highest = Math.max(highest, one);
      else
        throw new PeftError(
          'bad-data',
          `classNames: a label is ${one}; the number of a class is whole, from 0 on. Numbers to be estimated have no classes.`,
        );
    }
    if (names.size > most)
      throw new PeftError('bad-data', `classNames: there are more than ${most} names, so these are no classes`);
  }
  if (names.size > 0 && highest >= 0)
    throw new PeftError('bad-data', `classNames: some labels are names, as ${[...names][0]}, and some numbers`);
  return names.size > 0 ? sorted([...names]) : Array.from({ length: highest + 1 }, (_, i) => String(i));
};
