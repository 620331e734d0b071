import { filesAt, isObject, type JsonObject, joinPath, listed, type Place, readJsonObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { CheckpointReader, FindExperts, FindLayer } from '../checkpoint-reader.ts';
import type { Family } from '../families/family.ts';
import { modelTypes, openFamily } from '../families/on-demand.ts';
import { foreignParts } from './foreign.ts';
import type { GenerationConfig } from './generation.ts';
import type { ModelConfig } from './model-config.ts';

/** Options of `loadConfig`. */
export interface LoadConfigOptions {
  /** Readers of quantised checkpoints, as `loadModel` takes them. Default none: the config of such a folder is refused. */
  readonly readers?: readonly CheckpointReader[];
}

/**
 * Reads `config.json` of a Hugging Face model folder.
 *
 * Throws `PeftError`: `file-missing`; `unknown-architecture` with the supported ones; `bad-config` with all that is
 * wrong or contradictory, or that the model would need and that is not computed here.
 */
export const loadConfig = async (dir: Place, { readers = [] }: LoadConfigOptions = {}): Promise<ModelConfig> =>
  (await loadQuantizedConfig(dir, readers)).config;

/** The same of a folder whose weights may be quantised by one of the readers' methods; and how its layers and experts are found, null where they are floats. */
export const loadQuantizedConfig = async (
  dir: Place,
  readers: readonly CheckpointReader[],
): Promise<{
  readonly config: ModelConfig;
  readonly family: Family;
  readonly find: FindLayer | null;
  readonly findExperts: FindExperts | null;
}> => {
  const files = await filesAt(dir);
  const path = 'config.json';
  const json = await readJsonObject(files, path, 'bad-config');
  const problems: string[] = [];
  const quantization = json['quantization_config'];
  const reader = isObject(quantization) && readers.find(({ method }) => method === quantization['quant_method']);
  const find = reader ? reader.open(quantization as JsonObject, problems) : null;
  const findExperts = reader ? (reader.experts ?? null) : null;
  return { ...(await parse(json, joinPath(files.name, path), readers, problems)), find, findExperts };
};

/** Checks a parsed `config.json`; `who` is named in errors. Throws as `loadConfig` does. */
export const parseConfig = (json: unknown, who = 'config.json'): Promise<ModelConfig> =>
  parse(json, who, [], []).then(({ config }) => config);

const parse = async (
  json: unknown,
  who: string,
  readers: readonly CheckpointReader[],
  problems: string[],
): Promise<{ readonly config: ModelConfig; readonly family: Family }> => {
  const modelType = isObject(json) ? json['model_type'] : undefined;
  const family = typeof modelType === 'string' ? await openFamily(modelType) : null;
  if (!family) {
    const got = modelType === undefined ? 'has no model_type' : `has model_type ${JSON.stringify(modelType)}`;
    const supported = modelTypes().join(', ');
    throw new PeftError(
      'unknown-architecture',
      `${who}: ${got}; supported are ${supported}. Choose a model of one of these.`,
    );
  }
  const parseFields = await family.parser();
  const config = parseFields(json, problems);
  const quantizers = readers.map(({ method }) => method);
  problems.push(...foreignParts(json, family, quantizers));
  if (config === undefined || problems.length > 0) {
    const isSound = problems.every((problem) => problem.includes('is not supported'));
    const [what, help] = isSound
      ? [`asks for what no ${modelType} does here`, 'The file may well be sound: choose a model without this.']
      : [`is not a sound ${modelType} config`, 'Correct it or download it again.'];
    throw new PeftError('bad-config', `${who}: ${what}:${listed(problems)}\n${help}`);
  }
  return { config, family };
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
