import type { AdapterConfig, Target } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import type { LoraOptions } from './lora.ts';

/** The layers that Hugging Face PEFT adapts when no target is given, by `model_type`. */
export const defaultTargets: Readonly<Record<string, readonly string[]>> = {
  llama: ['q_proj', 'v_proj'],
  gpt2: ['c_attn'],
};

/** The value of the first entry of a pattern table whose regular expression is `path`, or its end after a dot: Hugging Face PEFT's rule. */
export const patternValue = <T>(pattern: Readonly<Record<string, T>>, path: Path): T | undefined =>
  Object.entries(pattern).find(([source]) => new RegExp(`^(?:.*\\.)?(?:${source})$`).test(path))?.[1];

/** What an `adapter_config.json` may hold that changes the function, with the only value this implementation computes. */
const unsupported: Readonly<Record<string, readonly unknown[]>> = {
  use_dora: [false],
  lora_bias: [false],
  bias: ['none'],
  modules_to_save: [null],
  layer_replication: [null],
  target_parameters: [null],
  trainable_token_indices: [null],
  alora_invocation_tokens: [null],
  use_qalora: [false],
  layers_to_transform: [null],
  exclude_modules: [null],
  arrow_config: [null],
  use_bdlora: [null, false],
  kasa_config: [null],
  velora_config: [null],
  monteclora_config: [null],
};

const isEmpty = (value: unknown): boolean => value == null || (Array.isArray(value) && value.length === 0);

const number = (config: AdapterConfig, field: string, fallback: number): number => {
  const value = config[field] ?? fallback;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new PeftError('bad-adapter', `lora: ${field} must be a number, got ${JSON.stringify(value)}`);
};

const numbers = (config: AdapterConfig, field: string): Record<string, number> => {
  const value = config[field] ?? {};
  if (typeof value === 'object' && Object.values(value).every((v) => typeof v === 'number'))
    return value as Record<string, number>;
  throw new PeftError('bad-adapter', `lora: ${field} must map names to numbers, got ${JSON.stringify(value)}`);
};

const patternOf = (source: string): RegExp => {
  try {
    return new RegExp(source);
  } catch (cause) {
    throw new PeftError('bad-adapter', `lora: target_modules ${JSON.stringify(source)} is no regular expression`, {
      cause,
    });
  }
};

/** A string in `target_modules` is a pattern over whole paths, except `all-linear`. */
const targetOf = (value: unknown): Target => {
  if (typeof value === 'string') return value === 'all-linear' ? value : patternOf(value);
  if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return value as string[];
  throw new PeftError(
    'bad-adapter',
    `lora: target_modules must be a list of names or a pattern, got ${JSON.stringify(value)}`,
  );
};

/** Options of a saved LoRA. Throws `bad-adapter` naming every field that would change the function and is not computed here. */
export const optionsOf = (config: AdapterConfig): LoraOptions => {
  const odd = Object.entries(unsupported).filter(
    ([field, only]) => !isEmpty(config[field]) && !only.includes(config[field]),
  );
  if (odd.length > 0)
    throw new PeftError(
      'bad-adapter',
      `lora: adapter_config.json asks for what is not computed here: ${odd.map(([f]) => `${f} = ${JSON.stringify(config[f])}`).join(', ')}`,
    );
  const target = config['target_modules'];
  return {
    rank: number(config, 'r', 8),
    alpha: number(config, 'lora_alpha', 8),
    dropout: number(config, 'lora_dropout', 0),
    rsLora: config['use_rslora'] === true,
    rankPattern: numbers(config, 'rank_pattern'),
    alphaPattern: numbers(config, 'alpha_pattern'),
    ...(isEmpty(target) ? {} : { target: targetOf(target) }),
  };
};
