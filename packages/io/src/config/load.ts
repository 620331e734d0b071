import { join } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import { isObject } from '../json.ts';
import { readJsonObject } from '../read-json.ts';
import { listed } from '../report.ts';
import { type Gpt2Config, parseGpt2 } from './gpt2.ts';
import { type LlamaConfig, parseLlama } from './llama.ts';

/** The architectures whose configs are read, told apart by `modelType`. */
export type ModelConfig = LlamaConfig | Gpt2Config;

type Parser = (json: unknown, problems: string[]) => ModelConfig | undefined;

const parsers: { readonly [T in ModelConfig['modelType']]: Parser } = {
  llama: parseLlama,
  gpt2: parseGpt2,
};

/**
 * Reads `config.json` of a Hugging Face model folder.
 *
 * Throws `PeftError`: `file-missing`; `unknown-architecture` with the supported ones; `bad-config` with all that is
 * wrong or contradictory.
 */
export const loadConfig = async (dir: string): Promise<ModelConfig> => {
  const path = join(dir, 'config.json');
  return parseConfig(await readJsonObject(path, 'bad-config'), path);
};

/** Checks a parsed `config.json`; `who` is named in errors. Throws as `loadConfig` does. */
export const parseConfig = (json: unknown, who = 'config.json'): ModelConfig => {
  const modelType = isObject(json) ? json['model_type'] : undefined;
  if (typeof modelType !== 'string' || !Object.hasOwn(parsers, modelType)) {
    const got = modelType === undefined ? 'has no model_type' : `has model_type ${JSON.stringify(modelType)}`;
    const supported = Object.keys(parsers).join(', ');
    throw new PeftError('unknown-architecture', `${who}: ${got}; supported are ${supported}. Choose a model of one of these.`);
  }
  const problems: string[] = [];
  if (isObject(json) && json['quantization_config'] != null)
    problems.push('quantization_config: quantised weights are not read; use the unquantised model');
  const config = parsers[modelType as ModelConfig['modelType']](json, problems);
  if (config === undefined || problems.length > 0)
    throw new PeftError('bad-config', `${who}: is not a sound ${modelType} config:${listed(problems)}\nCorrect it or download it again.`);
  return config;
};
