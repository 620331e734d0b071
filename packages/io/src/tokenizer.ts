import { joinPath } from './files/file-path.ts';
import type { Place } from './files/files.ts';
import { filesAt } from './files/place.ts';
import { readJsonObject } from './read-json.ts';

/** How a text is encoded. */
export interface EncodeOptions {
  /** Whether the ids that the model expects around a text are put there. Default true. */
  readonly special?: boolean;
  /** Whether a special token that is spelt out in the text becomes that token. Without it, it is text as any other: for what users write. Default true, unless `tokenizer_config.json` has `split_special_tokens`. */
  readonly readSpecial?: boolean;
  /** Places (UTF-16 units) that no special token reaches over: what is spelt out there stays text. */
  readonly apart?: readonly number[];
}

/** A place in a text among its ids. */
export interface PlaceInIds {
  /** How many tokens end before it or there. */
  readonly before: number;
  /** How many tokens begin before it. */
  readonly reached: number;
}

/** Two texts as one. */
export interface TokenPair {
  readonly ids: Int32Array;
  /** The kind of each token: 0 for the first text and 1 for the second, where the tokenizer tells them apart (`token_type_ids`). */
  readonly types: Int32Array;
  /** Where the ids of each text begin. */
  readonly starts: readonly [first: number, second: number];
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** Ids are below this, added tokens included. */
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  /** The special tokens, as the vocabulary spells them. */
  readonly specials: readonly string[];
  /**
   * The ids of a text. With `special` (the default) also those that the model expects around it, such as one for the
   * beginning; pieces of a longer text are encoded without. A special token that is spelt out in the text becomes that
   * token, as in Hugging Face's libraries.
   *
   * Throws `PeftError`: `bad-data` where the text holds something that the vocabulary has no token for;
   * `bad-tokenizer` where the file shows a fault only now; `bad-option` for what is no text.
   */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** The ids of a text without any around it, and where places (UTF-16 units) in it lie among them. Throws as `encode`. */
  locate(
    text: string,
    places: readonly number[],
    options?: Omit<EncodeOptions, 'special'>,
  ): { readonly ids: Int32Array; readonly places: readonly PlaceInIds[] };
  /**
   * The ids of two texts as one, with those that the model expects around and between them, as BERT's `[CLS] a [SEP] b [SEP]`. Both are given as
   * ids, encoded without `special`. Throws `bad-tokenizer` where the tokenizer does not say how two texts are joined.
   */
  pair(first: ArrayLike<number>, second: ArrayLike<number>): TokenPair;
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
 * Reads `tokenizer.json` and, if there is one, `tokenizer_config.json` of a Hugging Face model folder, which may name a class of tokenizers that makes parts of the first anew.
 *
 * Throws `PeftError`: `file-missing`, `bad-tokenizer`, `bad-config`.
 */
export const loadTokenizer = async (dir: Place): Promise<Tokenizer> => {
  const files = await filesAt(dir);
  const [path, configPath] = ['tokenizer.json', 'tokenizer_config.json'];
  const json = await readJsonObject(files, path, 'bad-tokenizer');
  const hasConfig = (await files.size(configPath)) !== null;
  const config = hasConfig ? await readJsonObject(files, configPath, 'bad-tokenizer') : {};
  const isThere = (await files.size('config.json')) !== null;
  const { model_type: modelType } = isThere ? await readJsonObject(files, 'config.json', 'bad-config') : {};
  // Loaded when asked for: the library takes longer to load than the rest of this package.
  const [{ buildTokenizer }, { partsByClass }] = await Promise.all([
    import('./tokenizer/build.ts'),
    import('./tokenizer/by-class.ts'),
  ]);
  return buildTokenizer(partsByClass(json, config, modelType), config, joinPath(files.name, path));
};
