import { joinPath } from './files/file-path.ts';
import type { Place } from './files/files.ts';
import { filesAt } from './files/place.ts';
import { readJsonObject } from './read-json.ts';

/** Text to token ids and back. */
export interface Tokenizer {
  /** Ids are below this, added tokens included. */
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  /**
   * The ids of a text. With `special` (the default) also those that the model expects around it, such as one for the
   * beginning; pieces of a longer text are encoded without. A special token that is spelt out in the text becomes that
   * token, as in Hugging Face's libraries.
   *
   * Throws `PeftError`: `bad-data` where the text holds something that the vocabulary has no token for;
   * `bad-tokenizer` where the file shows a fault only now; `bad-option` for what is no text.
   */
  encode(text: string, options?: { readonly special?: boolean }): Int32Array;
  /**
   * The text of ids, to the byte: spaces are never tidied up. `skipSpecial` leaves out special tokens. An id that the vocabulary lacks,
   * such as one of a padded vocabulary, gives nothing, as in Python.
   *
   * Throws `PeftError`: `bad-data` for what is no whole number of at least 0; `bad-option` for what is no list.
   */
  decode(ids: Iterable<number>, options?: { readonly skipSpecial?: boolean }): string;
  /** The id of a token as the vocabulary spells it. */
  idOf(token: string): number | undefined;
}

/**
 * Reads `tokenizer.json` and, if there is one, `tokenizer_config.json` of a Hugging Face model folder.
 *
 * Throws `PeftError`: `file-missing`, `bad-tokenizer`.
 */
export const loadTokenizer = async (dir: Place): Promise<Tokenizer> => {
  const files = await filesAt(dir);
  const [path, configPath] = ['tokenizer.json', 'tokenizer_config.json'];
  const json = await readJsonObject(files, path, 'bad-tokenizer');
  const hasConfig = (await files.size(configPath)) !== null;
  const config = hasConfig ? await readJsonObject(files, configPath, 'bad-tokenizer') : {};
  // Loaded when asked for: the library takes longer to load than the rest of this package.
  const { buildTokenizer } = await import('./tokenizer/build.ts');
  return buildTokenizer(json, config, joinPath(files.name, path));
};
