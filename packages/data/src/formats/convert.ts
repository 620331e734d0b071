import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { flatMap } from '../flat-map.ts';
import type { Stage } from '../stream.ts';
import { kindOf } from '../words.ts';
import { type FieldNames, fieldsOf } from './fields.ts';
import type { DataFormat, ItemOf } from './items.ts';
import type { LayoutOptions } from './layout.ts';
import { formats, layouts, unknownItem } from './recognise.ts';

/** How items are converted. */
export interface ConvertOptions extends LayoutOptions {
  /** Fields that are called otherwise, by the name that the format has for them: `{ text: 'review', label: 'stars' }`. */
  readonly fields?: FieldNames;
}

const rules: Rules<ConvertOptions> = {
  as: mustBe.oneOf(['text', 'messages']),
  fields: mustBe.such(
    'names of fields by the names that the format has',
    (v) => typeof v === 'object' && v !== null && Object.values(v).every((name) => typeof name === 'string'),
  ),
};

/**
 * Items of a format (`recognise` tells which) as items that stages take: whatever their fields are called in a file, `messages` are
 * `{ messages, tools? }`, `completions` `{ prompt, completion }`, and so on: see `ItemOf`. One item may become several, as an article of SQuAD
 * does. Throws `bad-data`, with the place, for items that are not of the format.
 */
export const convert = <F extends DataFormat>(format: F, options: ConvertOptions = {}): Stage<unknown, ItemOf[F]> => {
  checkOptions('convert', { ...rules, format: mustBe.oneOf([...formats]) }, { ...options, format });
  const { fields = {}, ...how } = options;
  const { uses, doubt, convert: made } = layouts[format];
  return flatMap((value: unknown) => {
    const own = fieldsOf(value, fields);
    if (!own) throw new PeftError('bad-data', `is ${kindOf(value)} where an item with fields is expected`);
    if (!uses(own)) throw unknownItem([own], format);
    const reason = doubt?.(own);
    if (reason) throw new PeftError('bad-data', reason);
    return made(own, how);
  });
};
