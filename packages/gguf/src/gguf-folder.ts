import { type FilePlace, type Files, memoryFiles } from '@peftjs/io';
import { configJsonOf } from './config-json.ts';
import { type GgufFile, openGguf } from './open-gguf.ts';
import { tokenizerFiles } from './tokenizer-json.ts';

/**
 * The files beside the weights of a Hugging Face folder, made of a GGUF file's metadata: `config.json`, `tokenizer.json` and `tokenizer_config.json`,
 * with its chat template. `loadTokenizer(await ggufFolder('model.gguf'))`. Throws as `openGguf` and `loadGguf`; `bad-tokenizer` for kinds of tokenizers
 * that are not read.
 */
export const ggufFolder = async (place: FilePlace): Promise<Files> => folderOf(await openGguf(place));

/** The same of a file that is open. */
export const folderOf = async (file: GgufFile): Promise<Files> => {
  const { json, config } = tokenizerFiles(file);
  const model = await configJsonOf(file);
  return memoryFiles(
    new Map([
      ['config.json', JSON.stringify(model.json)],
      ['tokenizer.json', json],
      ['tokenizer_config.json', config],
    ]),
    file.name,
  );
};
