import { PeftError } from '@peftjs/tensor';
import type { GenerationConfig } from '../config/generation.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Model } from '../model.ts';
import type { StreamOptions } from './stream-options.ts';

/** Options that `generation_config.json` gives where a caller says nothing. */
export interface Settings {
  readonly defaults: StreamOptions;
  /** Tokens of prompt and continuation together, at most; undefined where the file does not say. */
  readonly maxLength: number | undefined;
  /** The same, at least. */
  readonly minLength: number;
  /** The token that a decoder beside an encoder begins with; null where none is known. */
  readonly startId: number | null;
}

/** Of what is drawn at random, in transformers: the likeliest 50, where a file says nothing. */
const likeliest = 50;

const withoutUndefined = (options: Readonly<Record<string, unknown>>): StreamOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** The settings of a generation config; null is none. Throws `bad-config` for those that are not computed here, by name. */
export const settingsOf = (
  config: GenerationConfig | null,
  { eosIds, decoderStartId = null, bosId }: ModelConfig,
): Settings => {
  if (!config)
    return { defaults: { stop: eosIds }, maxLength: undefined, minLength: 0, startId: decoderStartId ?? bosId };
  if (config.unsupported.length > 0)
    throw new PeftError(
      'bad-config',
      `generate: generation_config.json asks for what is not supported: ${config.unsupported.join('; ')}. Remove it there, or generate without the file: generator(model, { executor, config: null }).`,
    );
  const { sample, repetitionPenalty, noRepeatNgram, badWords, minNewTokens, maxNewTokens, maxLength } = config;
  const { firstToken, lastTokens, beams, lengthPenalty, earlyStopping } = config;
  const chance = { topK: config.topK ?? likeliest, topP: config.topP, minP: config.minP, typicalP: config.typicalP };
  return {
    defaults: withoutUndefined({
      stop: config.eosIds.length > 0 ? config.eosIds : eosIds,
      ...(sample && { temperature: config.temperature ?? 1, ...chance }),
      repetitionPenalty,
      noRepeatNgram,
      badWords,
      minTokens: minNewTokens,
      maxTokens: maxNewTokens,
      stopTexts: config.stopTexts,
      firstToken,
      lastTokens,
      beams,
      lengthPenalty,
      earlyStopping,
    }),
    maxLength,
    minLength: config.minLength ?? 0,
    startId: config.decoderStartId ?? decoderStartId ?? config.bosId,
  };
};

/** The generation config of the folder that a model was loaded from; null where there is none. */
export const configBeside = async (model: Model): Promise<GenerationConfig | null> => {
  if (!model.layout.source) return null;
  const { loadGenerationConfig } = await import('../config/load.ts');
  return loadGenerationConfig(model.layout.source);
};
