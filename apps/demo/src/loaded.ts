import { baseModelDir } from '@peftjs/base-model';
import { loadTokenizer, type Tokenizer } from '@peftjs/io';
import { int8, nf4, quantize } from '@peftjs/quant';
import { PeftError } from '@peftjs/tensor';
import { type CausalLM, loadModel } from '@peftjs/transformer';
import type { DemoOptions } from './options.ts';
import { type DemoText, loadText } from './text.ts';

/** The model and data that a run works on. */
export interface Loaded {
  readonly dir: string;
  /** The base that an adapter says it belongs to. */
  readonly name: string;
  /** As its files hold it. */
  readonly dense: CausalLM;
  /** The model that is tuned: packed, where that was asked for. */
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  readonly text: DemoText;
  readonly endOfText: number;
}

const packings = { int8, nf4 } as const;

/** Positions of a row, unless they are told, where the model has as many. */
const usualContext = 256;

const contextOf = (asked: number | undefined, { config: { maxPositions } }: CausalLM): number => {
  if (asked === undefined) return Math.min(usualContext, maxPositions);
  if (asked > maxPositions)
    throw new PeftError('bad-option', `--context: the model has ${maxPositions} positions, fewer than ${asked}`);
  return asked;
};

/**
 * Loads the model, its tokenizer and the text. Throws what the loaders throw; `bad-config` when nothing names an end-of-text token, `bad-option` where
 * rows would be longer than the model.
 */
export const loadAll = async ({ model: modelDir, data, quantize: format, context }: DemoOptions): Promise<Loaded> => {
  const dir = modelDir ?? baseModelDir();
  const dense = await loadModel(dir);
  const model = format ? quantize(dense, packings[format]()) : dense;
  const tokenizer = await loadTokenizer(dir);
  const endOfText = tokenizer.eosId ?? model.config.eosIds[0];
  if (endOfText === undefined)
    throw new PeftError('bad-config', `${dir}: neither the tokenizer nor the config names an end-of-text token`);
  const text = await loadText(data, tokenizer, contextOf(context, model), endOfText);
  return { dir, name: modelDir ?? '@peftjs/base-model', dense, model, tokenizer, text, endOfText };
};
