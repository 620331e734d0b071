import * as z from 'zod';
import { collect } from './collect.ts';

/** The special tokens that a model's config names. */
export interface TokenIds {
  readonly bosId: number | null;
  /** Any of these ends a text. */
  readonly eosIds: readonly number[];
  readonly padId: number | null;
}

const id = z.int().min(0);

const schema = z.object({
  bos_token_id: id.nullish(),
  eos_token_id: z.union([id, z.array(id)]).nullish(),
  // Early Llama conversions wrote -1 for "none".
  pad_token_id: z.int().min(-1).nullish(),
});

/** The special tokens of `config.json` or `generation_config.json`, undefined if something is wrong with them. */
export const parseTokenIds = (json: unknown, problems: string[]): TokenIds | undefined => {
  const raw = collect(schema, json, problems);
  return (
    raw && {
      bosId: raw.bos_token_id ?? null,
      eosIds: [raw.eos_token_id ?? []].flat(),
      padId: raw.pad_token_id === -1 ? null : (raw.pad_token_id ?? null),
    }
  );
};

/** Tells which special tokens lie beyond the vocabulary. */
export const checkTokenIds = (ids: TokenIds, vocabSize: number, problems: string[]): void => {
  const named = { bos_token_id: ids.bosId, eos_token_id: ids.eosIds, pad_token_id: ids.padId };
  for (const [name, value] of Object.entries(named)) {
    for (const one of [value ?? []].flat())
      if (one >= vocabSize) problems.push(`${name} ${one} is not within vocab_size ${vocabSize}`);
  }
};
