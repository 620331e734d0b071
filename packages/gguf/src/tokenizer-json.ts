import { sentencePieceDecoder } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { GgufValue } from './header.ts';
import type { GgufFile } from './open-gguf.ts';
import { bytes, cuts } from './tokenizer-cuts.ts';

/** The texts of `tokenizer.json` and `tokenizer_config.json`. */
export interface TokenizerFiles {
  readonly json: string;
  readonly config: string;
}

/** Kinds of tokens. */
const [unknown, control, userDefined] = [2, 3, 4];

type Json = Readonly<Record<string, unknown>>;

/** A list of the metadata. Throws `bad-tokenizer` where it is none of its kind. */
const listOf = <T extends 'string' | 'number'>(
  { name, metadata }: GgufFile,
  key: string,
  kind: T,
): readonly (T extends 'string' ? string : number)[] => {
  const found = metadata.get(key);
  const list = Array.isArray(found) ? (found as readonly GgufValue[]) : undefined;
  if (list?.every((value) => typeof value === kind)) return list as never;
  throw new PeftError('bad-tokenizer', `${name}: ${key} is no list of ${kind}s. Download it again.`);
};

/** Merges of byte-level BPE. */
const byteLevel = (file: GgufFile): Json => {
  const pre = file.metadata.get('tokenizer.ggml.pre');
  const cut = typeof pre === 'string' && Object.hasOwn(cuts, pre) ? cuts[pre]! : null;
  if (!cut)
    throw new PeftError(
      'bad-tokenizer',
      `${file.name}: cuts texts as ${JSON.stringify(pre ?? 'default')} (tokenizer.ggml.pre); known are ${Object.keys(cuts).join(', ')}. Take tokenizer.json of the model that it was made of: loadTokenizer(folder).`,
    );
  return {
    normalizer: cut.normalizer ?? null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: cut.steps },
    decoder: { ...bytes(true), add_prefix_space: true },
    model: {
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: cut.ignoreMerges ?? false,
      merges: listOf(file, 'tokenizer.ggml.merges', 'string'),
    },
    begins: cut.begins ?? false,
  };
};

/**
 * Merges of a SentencePiece vocabulary by its scores: each way to make a token of two, the best token first.
 * Kudo & Richardson, 2018. https://arxiv.org/abs/1808.06226
 */
const mergesOf = (tokens: readonly string[], scores: readonly number[]): string[][] => {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const ways = tokens.flatMap((token, id) => {
    const letters = [...token];
    return letters.slice(1).flatMap((_, i) => {
      const [left, right] = [letters.slice(0, i + 1).join(''), letters.slice(i + 1).join('')];
      return ids.has(left) && ids.has(right) ? [{ left, right, score: scores[id]! }] : [];
    });
  });
  return ways
    .sort((a, b) => b.score - a.score || b.left.length - a.left.length || b.right.length - a.right.length)
    .map(({ left, right }) => [left, right]);
};

/** BPE of SentencePiece: a space is a letter, and what is unknown is spelt in bytes. */
const sentencePiece = (file: GgufFile, tokens: readonly string[], types: readonly number[]): Json => {
  const prefixed = file.metadata.get('tokenizer.ggml.add_space_prefix') !== false;
  const space = { pattern: { String: ' ' }, content: '▁' };
  return {
    normalizer: {
      type: 'Sequence',
      normalizers: [...(prefixed ? [{ type: 'Prepend', prepend: '▁' }] : []), { type: 'Replace', ...space }],
    },
    pre_tokenizer: null,
    decoder: sentencePieceDecoder(prefixed),
    model: {
      unk_token: tokens[types.indexOf(unknown)] ?? null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      merges: mergesOf(tokens, listOf(file, 'tokenizer.ggml.scores', 'number')),
    },
    begins: true,
  };
};

/** A token to put around every text: the metadata's word, else the kind's. */
const around = ({ metadata }: GgufFile, tokens: readonly string[], begins: boolean): Json | null => {
  const wants = (key: string, otherwise: boolean): boolean => {
    const said = metadata.get(`tokenizer.ggml.add_${key}_token`);
    return typeof said === 'boolean' ? said : otherwise;
  };
  const id = (key: string): number | undefined => {
    const found = metadata.get(`tokenizer.ggml.${key}_token_id`);
    return typeof found === 'number' && tokens[found] !== undefined ? found : undefined;
  };
  const [first, last] = [wants('bos', begins) ? id('bos') : undefined, wants('eos', false) ? id('eos') : undefined];
  const placed = [first, last].filter((token) => token !== undefined);
  if (placed.length === 0) return null;
  const special = (token: number | undefined): Json[] =>
    token === undefined ? [] : [{ SpecialToken: { id: tokens[token], type_id: 0 } }];
  return {
    type: 'TemplateProcessing',
    single: [...special(first), { Sequence: { id: 'A', type_id: 0 } }, ...special(last)],
    pair: [],
    special_tokens: Object.fromEntries(
      placed.map((token) => [tokens[token]!, { id: tokens[token], ids: [token], tokens: [tokens[token]] }]),
    ),
  };
};

const configOf = ({ metadata }: GgufFile, tokens: readonly string[]): Json => {
  const named = (key: string): string | undefined => {
    const id = metadata.get(`tokenizer.ggml.${key}_token_id`);
    return typeof id === 'number' ? tokens[id] : undefined;
  };
  const template = metadata.get('tokenizer.chat_template');
  const all = {
    bos_token: named('bos'),
    eos_token: named('eos'),
    unk_token: named('unknown'),
    pad_token: named('padding'),
    chat_template: typeof template === 'string' ? template : undefined,
  };
  return { ...all, clean_up_tokenization_spaces: false };
};

/**
 * The tokenizer of a GGUF file in the layout of Hugging Face's tokenizers: byte-level BPE (`gpt2`) and SentencePiece's BPE (`llama`). Throws
 * `bad-tokenizer` for other kinds, by name, and for what is missing.
 */
export const tokenizerFiles = (file: GgufFile): TokenizerFiles => {
  const kind = file.metadata.get('tokenizer.ggml.model');
  if (kind !== 'gpt2' && kind !== 'llama')
    throw new PeftError(
      'bad-tokenizer',
      `${file.name}: has a tokenizer of kind ${JSON.stringify(kind ?? null)}; read are gpt2 and llama. Take tokenizer.json of the model that it was made of: loadTokenizer(folder).`,
    );
  const tokens = listOf(file, 'tokenizer.ggml.tokens', 'string');
  const types = file.metadata.has('tokenizer.ggml.token_type')
    ? listOf(file, 'tokenizer.ggml.token_type', 'number')
    : [];
  const { model, begins, ...parts } = kind === 'gpt2' ? byteLevel(file) : sentencePiece(file, tokens, types);
  const added = tokens.flatMap((content, id) => {
    const type = types[id];
    if (type !== control && type !== userDefined && type !== unknown) return [];
    const special = type !== userDefined;
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    ...parts,
    post_processor: around(file, tokens, begins === true),
    model: {
      type: 'BPE',
      dropout: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      ...(model as Json),
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    },
  };
  return { json: JSON.stringify(json), config: JSON.stringify(configOf(file, tokens)) };
};
