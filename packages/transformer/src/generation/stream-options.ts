import { mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { type BeamOptions, beamRules } from './beam-search.ts';
import { type ProcessOptions, processRules } from './processors.ts';
import { type SampleOptions, sampleRules } from './sample.ts';

/** How a continuation is made. What is left out is as the model's `generation_config.json` says, and else the default. */
export interface StreamOptions extends SampleOptions, ProcessOptions, BeamOptions {
  /** New tokens per prompt, at most. Default: as many as the context has room for after the longest prompt, or a decoder's first token. */
  readonly maxTokens?: number;
  /** Any of these ends a row; it is not given out. Default: the config's end-of-text tokens. */
  readonly stop?: readonly number[];
  /** Any of these texts ends a row, after the token that completes it. They need `tokenizer`. */
  readonly stopTexts?: readonly string[];
  /** Makes texts of tokens, for `stopTexts`. */
  readonly tokenizer?: { decode(ids: readonly number[]): string };
  /** Row i draws from a stream of seed + i, so it gives what its prompt alone gives with that seed. Default 0. */
  readonly seed?: number;
  /** The token that a decoder beside an encoder begins with, before the new ones. Default: the config's `decoder_start_token_id`. */
  readonly startToken?: number;
}

/** The rules of its options. */
export const streamRules: Rules<StreamOptions> = {
  maxTokens: mustBe.count,
  stop: mustBe.such('a list of token ids', (v) => Array.isArray(v) || ArrayBuffer.isView(v)),
  stopTexts: mustBe.such(
    'a list of texts, none of them empty',
    (v) => Array.isArray(v) && v.every((one) => typeof one === 'string' && one !== ''),
  ),
  tokenizer: mustBe.object,
  seed: mustBe.whole,
  startToken: mustBe.whole,
  ...sampleRules,
  ...processRules,
  ...beamRules,
};

/** Whether new tokens complete a text that ends a row: it stands where the last of them has brought something new. */
export const endedBy = ({ stopTexts = [], tokenizer }: StreamOptions): ((tokens: readonly number[]) => boolean) => {
  if (stopTexts.length === 0) return () => false;
  if (typeof tokenizer?.decode !== 'function')
    throw new PeftError(
      'bad-option',
      `generate: stopTexts ${JSON.stringify(stopTexts).slice(0, 100)} need a tokenizer; give { tokenizer }`,
    );
  return (tokens) => {
    const text = tokenizer.decode(tokens);
    return stopTexts.some((stop) => text.includes(stop));
  };
};
