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

/** Positions per row, where the model has as many. */
const longestContext = 256;

/** Loads the model, its tokenizer and the text. Throws what the loaders throw; `bad-config` when nothing names an end-of-text token. */
export const loadAll = async ({ model: modelDir, data, quantize: format }: DemoOptions): Promise<Loaded> => {
  const dir = modelDir ?? baseModelDir();
  const dense = await loadModel(dir);
  const model = format ? quantize(dense, packings[format]()) : dense;
  const tokenizer = await loadTokenizer(dir);
  const endOfText = tokenizer.eosId ?? model.config.eosIds[0];
  if (endOfText === undefined)
    throw new PeftError('bad-config', `${dir}: neither the tokenizer nor the config names an end-of-text token`);
  const context = Math.min(longestContext, model.config.maxPositions);
  const text = await loadText(data, tokenizer, context, endOfText);
  return { dir, name: modelDir ?? '@peftjs/base-model', dense, model, tokenizer, text, endOfText };
};
