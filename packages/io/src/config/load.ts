import { PeftError } from '@peftjs/tensor';
import { joinPath } from '../files/file-path.ts';
import type { Place } from '../files/files.ts';
import { filesAt } from '../files/place.ts';
import { isObject } from '../json.ts';
import { readJsonObject } from '../read-json.ts';
import { listed } from '../report.ts';
import type { GenerationConfig } from './generation.ts';
import type { Gpt2Config } from './gpt2.ts';
import type { LlamaConfig } from './llama.ts';

/** The architectures whose configs are read, told apart by `modelType`. */
export type ModelConfig = LlamaConfig | Gpt2Config;

type Parser = (json: unknown, problems: string[]) => ModelConfig | undefined;

/** Loaded when asked for: zod alone takes longer to load than all else in this package. */
const parsers: { readonly [T in ModelConfig['modelType']]: () => Promise<Parser> } = {
  llama: async () => (await import('./llama.ts')).parseLlama,
  gpt2: async () => (await import('./gpt2.ts')).parseGpt2,
};

/**
 * Reads `config.json` of a Hugging Face model folder.
 *
 * Throws `PeftError`: `file-missing`; `unknown-architecture` with the supported ones; `bad-config` with all that is
 * wrong or contradictory.
 */
export const loadConfig = async (dir: Place): Promise<ModelConfig> => {
  const files = await filesAt(dir);
  const path = 'config.json';
  return parseConfig(await readJsonObject(files, path, 'bad-config'), joinPath(files.name, path));
};

/** Checks a parsed `config.json`; `who` is named in errors. Throws as `loadConfig` does. */
export const parseConfig = async (json: unknown, who = 'config.json'): Promise<ModelConfig> => {
  const modelType = isObject(json) ? json['model_type'] : undefined;
  if (typeof modelType !== 'string' || !Object.hasOwn(parsers, modelType)) {
    const got = modelType === undefined ? 'has no model_type' : `has model_type ${JSON.stringify(modelType)}`;
    const supported = Object.keys(parsers).join(', ');
    throw new PeftError(
      'unknown-architecture',
      `${who}: ${got}; supported are ${supported}. Choose a model of one of these.`,
    );
  }
  const parse = await parsers[modelType as ModelConfig['modelType']]();
  const problems: string[] = [];
  if (isObject(json) && json['quantization_config'] != null)
    problems.push('quantization_config: quantised weights are not read; use the unquantised model');
  const config = parse(json, problems);
  if (config === undefined || problems.length > 0)
    throw new PeftError(
      'bad-config',
      `${who}: is not a sound ${modelType} config:${listed(problems)}\nCorrect it or download it again.`,
    );
  return config;
};

/** Reads `generation_config.json`, null if the folder has none. Throws `PeftError` `bad-config`. */
export const loadGenerationConfig = async (dir: Place): Promise<GenerationConfig | null> => {
  const files = await filesAt(dir);
  const path = 'generation_config.json';
  if ((await files.size(path)) === null) return null;
  const json = await readJsonObject(files, path, 'bad-config');
  const { parseGeneration } = await import('./generation.ts');
  const problems: string[] = [];
  const config = parseGeneration(json, problems);
  if (config === undefined)
    throw new PeftError(
      'bad-config',
      `${joinPath(files.name, path)}: is not a sound generation config:${listed(problems)}\nCorrect or remove it.`,
    );
  return config;
};
