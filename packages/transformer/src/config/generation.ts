import * as z from 'zod';
import { collect } from './collect.ts';
import { parseTokenIds, type TokenIds } from './token-ids.ts';

/** The settings by which a model's authors generate (`generation_config.json`); what they leave open is undefined. */
export interface GenerationConfig extends TokenIds {
  /** Draw tokens at random; false is greedy. */
  readonly sample: boolean;
  readonly temperature: number | undefined;
  /** Only the so many most likely tokens; 0 is all. */
  readonly topK: number | undefined;
  /** Only the most likely tokens that together reach this probability. */
  readonly topP: number | undefined;
  readonly minP: number | undefined;
  readonly typicalP: number | undefined;
  readonly repetitionPenalty: number | undefined;
  /** No run of so many tokens occurs twice. */
  readonly noRepeatNgram: number | undefined;
  /** Runs of tokens that are never made. */
  readonly badWords: readonly (readonly number[])[] | undefined;
  readonly minNewTokens: number | undefined;
  readonly maxNewTokens: number | undefined;
  /** Tokens of prompt and continuation together, at most. */
  readonly maxLength: number | undefined;
  /** The same, at least. */
  readonly minLength: number | undefined;
  /** The token that a decoder beside an encoder begins with. */
  readonly decoderStartId: number | undefined;
  /** The token after it. */
  readonly firstToken: number | undefined;
  /** The last token of a text that is as long as it may be is one of these. */
  readonly lastTokens: readonly number[] | undefined;
  /** Continuations that are followed at once. */
  readonly beams: number | undefined;
  /** Exponent of the length that their scores are divided by. */
  readonly lengthPenalty: number | undefined;
  readonly earlyStopping: boolean | 'never' | undefined;
  /** Texts that end a continuation. */
  readonly stopTexts: readonly string[] | undefined;
  /** Settings that would change the result and are not computed here, in the file's words. */
  readonly unsupported: readonly string[];
}

const id = z.int().min(0);
const share = z.number().gt(0).max(1).nullish();

const schema = z.looseObject({
  do_sample: z.boolean().nullish(),
  temperature: z.number().min(0).nullish(),
  top_k: z.int().min(0).nullish(),
  top_p: share,
  min_p: z.number().min(0).max(1).nullish(),
  typical_p: share,
  repetition_penalty: z.number().positive().nullish(),
  no_repeat_ngram_size: z.int().min(0).nullish(),
  bad_words_ids: z.array(z.array(id).min(1)).nullish(),
  suppress_tokens: z.array(id).nullish(),
  min_new_tokens: z.int().min(0).nullish(),
  max_new_tokens: z.int().min(1).nullish(),
  max_length: z.int().min(1).nullish(),
  min_length: z.int().min(0).nullish(),
  decoder_start_token_id: id.nullish(),
  forced_bos_token_id: id.nullish(),
  forced_eos_token_id: z.union([id, z.array(id).min(1)]).nullish(),
  num_beams: z.int().min(1).nullish(),
  length_penalty: z.number().nullish(),
  early_stopping: z.union([z.boolean(), z.literal('never')]).nullish(),
  stop_strings: z.union([z.string(), z.array(z.string())]).nullish(),
});

/** Settings that are not computed here, each with the values that change nothing. Names: transformers, `configuration_utils.py`. */
const inert: Readonly<Record<string, readonly unknown[]>> = {
  begin_suppress_tokens: [],
  constraints: [],
  diversity_penalty: [0],
  dola_layers: [],
  encoder_no_repeat_ngram_size: [0],
  encoder_repetition_penalty: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  exponential_decay_length_penalty: [],
  force_words_ids: [],
  guidance_scale: [1],
  num_beam_groups: [1],
  num_return_sequences: [1],
  penalty_alpha: [0],
  sequence_bias: [],
  token_healing: [false],
  top_h: [],
  watermarking_config: [],
};

/** The settings by our names, or undefined; problems are collected. */
export const parseGeneration = (json: unknown, problems: string[]): GenerationConfig | undefined => {
  const raw = collect(schema, json, problems);
  const ids = parseTokenIds(json, problems);
  if (!raw || !ids) return undefined;
  const unsupported = Object.entries(inert).flatMap(([field, values]) => {
    const value = raw[field];
    const isInert = value == null || values.includes(value) || (Array.isArray(value) && value.length === 0);
    return isInert ? [] : [`${field} ${JSON.stringify(value).slice(0, 100)}`];
  });
  if (raw.do_sample && (raw.num_beams ?? 1) > 1) unsupported.push(`do_sample with num_beams ${raw.num_beams}`);
  const bad = [...(raw.bad_words_ids ?? []), ...(raw.suppress_tokens ?? []).map((one) => [one])];
  return {
    sample: raw.do_sample ?? false,
    temperature: raw.temperature ?? undefined,
    topK: raw.top_k ?? undefined,
    topP: raw.top_p ?? undefined,
    minP: raw.min_p ?? undefined,
    typicalP: raw.typical_p ?? undefined,
    repetitionPenalty: raw.repetition_penalty ?? undefined,
    noRepeatNgram: raw.no_repeat_ngram_size ?? undefined,
    badWords: bad.length > 0 ? bad : undefined,
    minNewTokens: raw.min_new_tokens ?? undefined,
    maxNewTokens: raw.max_new_tokens ?? undefined,
    maxLength: raw.max_length ?? undefined,
    minLength: raw.min_length ?? undefined,
    decoderStartId: raw.decoder_start_token_id ?? undefined,
    firstToken: raw.forced_bos_token_id ?? undefined,
    lastTokens: raw.forced_eos_token_id == null ? undefined : [raw.forced_eos_token_id].flat(),
    beams: raw.num_beams ?? undefined,
    lengthPenalty: raw.length_penalty ?? undefined,
    earlyStopping: raw.early_stopping ?? undefined,
    stopTexts: raw.stop_strings ? [raw.stop_strings].flat() : undefined,
    unsupported,
    ...ids,
  };
};
