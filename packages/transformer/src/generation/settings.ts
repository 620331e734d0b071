import { PeftError } from '@peftjs/tensor';
import type { GenerationConfig } from '../config/generation.ts';
import type { CausalLM } from '../task-model.ts';
import type { StreamOptions } from './generator.ts';

/** Options that `generation_config.json` gives where a caller says nothing. */
export interface Settings {
  readonly defaults: StreamOptions;
  /** Tokens of prompt and continuation together, at most; undefined where the file does not say. */
  readonly maxLength: number | undefined;
}

/** Of what is drawn at random, in transformers: the likeliest 50, where a file says nothing. */
const likeliest = 50;

const withoutUndefined = (options: Readonly<Record<string, unknown>>): StreamOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** The settings of a generation config; null is none. Throws `bad-config` for those that are not computed here, by name. */
export const settingsOf = (config: GenerationConfig | null, modelEosIds: readonly number[]): Settings => {
  if (!config) return { defaults: { stop: modelEosIds }, maxLength: undefined };
  if (config.unsupported.length > 0)
    throw new PeftError(
      'bad-config',
      `generate: generation_config.json asks for what is not supported: ${config.unsupported.join('; ')}. Remove it there, or generate without the file: generator(model, { executor, config: null }).`,
    );
  const { sample, repetitionPenalty, noRepeatNgram, badWords, minNewTokens, maxNewTokens, maxLength } = config;
  const chance = { topK: config.topK ?? likeliest, topP: config.topP, minP: config.minP, typicalP: config.typicalP };
  return {
    defaults: withoutUndefined({
      stop: config.eosIds.length > 0 ? config.eosIds : modelEosIds,
      ...(sample && { temperature: config.temperature ?? 1, ...chance }),
      repetitionPenalty,
      noRepeatNgram,
      badWords,
      minTokens: minNewTokens,
      maxTokens: maxNewTokens,
      stopTexts: config.stopTexts,
    }),
    maxLength,
  };
};

/** The generation config of the folder that a model was loaded from; null where there is none. */
export const configBeside = async (model: CausalLM): Promise<GenerationConfig | null> => {
  if (!model.layout.source) return null;
  const { loadGenerationConfig } = await import('../config/load.ts');
  return loadGenerationConfig(model.layout.source);
};
