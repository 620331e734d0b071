import * as z from 'zod';
import { collect } from './collect.ts';
import type { ModelConfig } from './model-config.ts';
import { parseTokenIds, type TokenIds } from './token-ids.ts';

const schema = z.object({
  architectures: z.array(z.string()).nullish(),
  id2label: z.record(z.string(), z.string()).nullish(),
});

/** Names in the order of their numbers; null, with a problem told, where they are not 0, 1, 2, … */
const namesOf = (id2label: Readonly<Record<string, string>>, problems: string[]): readonly string[] | null => {
  const count = Object.keys(id2label).length;
  const names = Array.from({ length: count }, (_, i) => id2label[i]);
  if (names.every((name) => name !== undefined)) return names;
  problems.push(`id2label: its ${count} keys must be 0 to ${count - 1}`);
  return null;
};

/** The fields that every family's config has; undefined if something is wrong with them. */
export const parseShared = (
  json: unknown,
  problems: string[],
): (TokenIds & Pick<ModelConfig, 'architectures' | 'labels'>) | undefined => {
  const raw = collect(schema, json, problems);
  const ids = parseTokenIds(json, problems);
  if (!raw || !ids) return undefined;
  return {
    ...ids,
    architectures: raw.architectures ?? [],
    labels: raw.id2label ? namesOf(raw.id2label, problems) : null,
  };
};
