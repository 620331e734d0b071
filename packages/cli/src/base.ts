import { ggufFolder, loadGguf } from '@peftjs/gguf';
import { type Files, filesAt, loadTokenizer, type Tokenizer } from '@peftjs/io';
import { fp4, fp8, hqq, int4, int8, nf4, type QuantFormat, quantize } from '@peftjs/quant';
import { isPeftError, PeftError } from '@peftjs/tensor';
import { type CausalLM, loadModel } from '@peftjs/transformer';
import type { RunConfig } from './config/schema.ts';

/** The name by which runs and adapters call the model that is shipped. */
export const shipped = '@peftjs/base-model';

/** The base of a run: a model, and what reads and writes its texts. */
export interface Base {
  /** A path, or the name of the shipped model: as it was asked for. */
  readonly name: string;
  /** The files beside its weights. */
  readonly files: Files;
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  /** The token that ends a text. */
  readonly end: number;
}

/** How a base is loaded. */
export interface BaseOptions {
  readonly model?: string | undefined;
  readonly dtype?: 'f32' | 'f16';
  readonly quantize?: RunConfig['quantize'];
}

const formats: Readonly<Record<NonNullable<RunConfig['quantize']>, () => QuantFormat>> = {
  int8,
  int4,
  nf4,
  fp4,
  fp8,
  hqq,
};

const shippedDir = async (): Promise<string> => {
  try {
    return (await import('@peftjs/base-model')).baseModelDir();
  } catch (cause) {
    throw new PeftError(
      'file-missing',
      `there is no model: ${shipped} is not installed. npm install ${shipped}, or give --model the folder of one in Hugging Face layout.`,
      { cause },
    );
  }
};

/** Loads a base: the folder of a model, a GGUF file, or the shipped one. Throws as `loadModel`, `loadGguf`, `loadTokenizer`; `bad-config` where nothing ends a text. */
export const loadBase = async ({ model: asked, dtype = 'f32', quantize: format }: BaseOptions): Promise<Base> => {
  const name = asked ?? shipped;
  const place = name === shipped ? await shippedDir() : name;
  const isGguf = /\.gguf$/i.test(place);
  const files = isGguf ? await ggufFolder(place) : await filesAt(place);
  const loaded = isGguf ? await loadGguf(place, { dtype }) : await opened(place, dtype);
  const model = format ? quantize(loaded, formats[format]()) : loaded;
  const tokenizer = await loadTokenizer(files);
  const end = tokenizer.eosId ?? model.config.eosIds[0];
  if (end === undefined)
    throw new PeftError('bad-config', `${name}: neither the tokenizer nor the config names a token that ends a text`);
  return { name, files, model, tokenizer, end };
};

const opened = async (place: string, dtype: 'f32' | 'f16'): Promise<CausalLM> => {
  try {
    return await loadModel(place, { dtype });
  } catch (error) {
    if (!isPeftError(error) || error.code !== 'file-missing') throw error;
    throw new PeftError('file-missing', `${error.message} Give --model the folder of a model in Hugging Face layout.`, {
      cause: error,
    });
  }
};
