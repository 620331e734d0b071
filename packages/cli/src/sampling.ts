import { PeftError } from '@peftjs/tensor';
import type { StreamOptions } from '@peftjs/transformer';

/** Flags of commands that write texts. */
export const samplingFlags: readonly (readonly [flag: string, about: string])[] = [
  ['--max-tokens <n>', 'new tokens, at most'],
  ['--temperature <x>', '0 takes the likeliest token'],
  ['--top-k <n>', 'only the so many likeliest tokens'],
  ['--top-p <x>', 'only the likeliest tokens that together reach this probability'],
  ['--seed <n>', 'seed of what is drawn'],
  ['--stop <text...>', 'texts that end it'],
];

/** Flags of commands that load a model. */
export const modelFlags: readonly (readonly [flag: string, about: string])[] = [
  ['--model <dir>', 'the base, where the adapter does not say it'],
  ['--quantize <format>', 'packs the base: int8, int4, nf4, fp4, fp8, hqq'],
  ['--device <name>', 'cpu or webgpu'],
  ['--threads <n>', 'threads of the CPU'],
];

type Options = Readonly<Record<string, unknown>>;

/** The number of a flag; undefined where it was not given. Throws `bad-option`. */
export const numberIn = (options: Options, name: string, isWhole = false): number | undefined => {
  const text = options[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  if (!Number.isFinite(value) || String(text).trim() === '' || (isWhole && !Number.isInteger(value)) || value < 0)
    throw new PeftError(
      'bad-option',
      `${flag} is ${String(text)}, and must be a ${isWhole ? 'whole ' : ''}number of at least 0`,
    );
  return value;
};

/** How a text is continued, by the flags. Throws `bad-option`. */
export const samplingOf = (options: Options): Omit<StreamOptions, 'tokenizer'> => {
  const given = {
    maxTokens: numberIn(options, 'maxTokens', true),
    temperature: numberIn(options, 'temperature'),
    topK: numberIn(options, 'topK', true),
    topP: numberIn(options, 'topP'),
    seed: numberIn(options, 'seed', true),
    stopTexts: options['stop'] as readonly string[] | undefined,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
};
