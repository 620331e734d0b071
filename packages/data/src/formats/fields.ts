import { isObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';

/** An item's fields by name; those that are null are not there. */
export type Fields = Readonly<Record<string, unknown>>;

/** Other names of fields: `{ text: 'review' }` for items whose text is called review. */
export type FieldNames = Readonly<Record<string, string>>;

/** The fields of an item: of a text its `text`, of a list its `messages`. Null for what has none. */
export const fieldsOf = (item: unknown, names: FieldNames = {}): Fields | null => {
  if (typeof item === 'string') return { text: item };
  if (Array.isArray(item)) return { messages: item };
  if (!isObject(item)) return null;
  const there = Object.entries(item).filter(([, value]) => value != null);
  const own = Object.fromEntries(there);
  const missing = Object.entries(names).find(([, name]) => !(name in item));
  if (missing)
    throw new PeftError(
      'bad-data',
      `has no field ${missing[1]}, which is to be its ${missing[0]}; it has ${Object.keys(item).join(', ') || 'none'}`,
    );
  const renamed = Object.entries(names).flatMap(([field, name]) => (name in own ? [[field, own[name]]] : []));
  const others = there.filter(([name]) => !Object.values(names).includes(name));
  return Object.fromEntries([...others, ...renamed]);
};

/** The first of some names that an item has a field of, such that it is what is wanted. */
export const named = (fields: Fields, names: readonly string[], is: (value: unknown) => boolean): string | undefined =>
  names.find((name) => Object.hasOwn(fields, name) && is(fields[name]));

/** The first pair of names that an item has both fields of, such that they are what is wanted. */
export const pairNamed = (
  fields: Fields,
  pairs: readonly (readonly [string, string])[],
  is: (value: unknown) => boolean,
): readonly [string, string] | undefined =>
  pairs.find(([a, b]) => named(fields, [a], is) !== undefined && named(fields, [b], is) !== undefined);

export const isText = (value: unknown): value is string => typeof value === 'string';

/** A value that may come as text, as a table of text holds it: JSON of a list or an object. */
export const fromJson = (value: unknown): unknown => {
  if (!isText(value) || !/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
};
