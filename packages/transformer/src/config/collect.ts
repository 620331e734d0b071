import type * as z from 'zod';

/** Checks a value by a schema; what is wrong goes to `problems`, and the result is then undefined. */
export const collect = <T>(schema: z.ZodType<T>, json: unknown, problems: string[]): T | undefined => {
  const { data, error } = schema.safeParse(json);
  for (const { path, message } of error?.issues ?? []) problems.push(`${path.join('.') || 'it'}: ${message}`);
  return data;
};
