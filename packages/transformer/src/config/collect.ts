import { shown } from '@peftjs/tensor';
import type * as z from 'zod';

/** The value at a path in another. */
const at = (json: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce((value: unknown, key) => Object(value)[key], json);

/** The fault of a value. A schema names those that are computed here: that another is none of them says nothing against the file. */
const told = (issue: z.core.$ZodIssue, json: unknown): string => {
  if (issue.code !== 'invalid_value') return issue.message;
  const names = issue.values.map((value) => JSON.stringify(value));
  const last = names.pop();
  const all = names.length > 0 ? `${names.join(', ')} and ${last} are` : `${last} is`;
  return `${shown(at(json, issue.path))} is not supported; ${all}`;
};

/** Checks a value by a schema; what is wrong goes to `problems`, and the result is then undefined. */
export const collect = <T>(schema: z.ZodType<T>, json: unknown, problems: string[]): T | undefined => {
  const { data, error } = schema.safeParse(json);
  for (const issue of error?.issues ?? []) problems.push(`${issue.path.join('.') || 'it'}: ${told(issue, json)}`);
  return data;
};
