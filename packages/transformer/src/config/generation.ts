import * as z from 'zod';
import { collect } from './collect.ts';
import { parseTokenIds, type TokenIds } from './token-ids.ts';

/** How a model's authors sample from it; what they leave open is undefined. */
export interface GenerationConfig extends TokenIds {
  /** Draw tokens at random; false is greedy. */
  readonly sample: boolean;
  readonly temperature: number | undefined;
  /** Only the so many most likely tokens; 0 is all. */
  readonly topK: number | undefined;
  /** Only the most likely tokens that together reach this probability. */
  readonly topP: number | undefined;
  readonly repetitionPenalty: number | undefined;
  readonly maxNewTokens: number | undefined;
}

const schema = z.object({
  do_sample: z.boolean().default(false),
  temperature: z.number().min(0).nullish(),
  top_k: z.int().min(0).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
  max_new_tokens: z.int().min(1).nullish(),
});

/** The settings by our names, or undefined; problems are collected. */
export const parseGeneration = (json: unknown, problems: string[]): GenerationConfig | undefined => {
  const raw = collect(schema, json, problems);
  const ids = parseTokenIds(json, problems);
  if (!raw || !ids) return undefined;
  return {
    sample: raw.do_sample,
    temperature: raw.temperature ?? undefined,
    topK: raw.top_k ?? undefined,
    topP: raw.top_p ?? undefined,
    repetitionPenalty: raw.repetition_penalty ?? undefined,
    maxNewTokens: raw.max_new_tokens ?? undefined,
    ...ids,
  };
};
