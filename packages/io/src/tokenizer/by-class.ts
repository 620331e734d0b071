import { isObject } from '../json.ts';
import { sentencePieceDecoder } from './sentence-piece.ts';

type Json = Readonly<Record<string, unknown>>;

/** Types of models whose class of tokenizers is the general one, whatever `tokenizer_config.json` says. */
const general: readonly unknown[] = [
  'mistral',
  'mixtral',
  'olmo2',
  'granite',
  'phi3',
  'stablelm',
  'modernbert',
  'umt5',
];

/** Classes of types of models, for a config that names none. */
const byType: Readonly<Record<string, string>> = {
  bert: 'BertTokenizer',
  distilbert: 'BertTokenizer',
  electra: 'BertTokenizer',
  mpnet: 'MPNetTokenizer',
};

/** BERT's normalizer by the config. */
const bert = (json: Json, config: Json): Json => {
  const { normalizer } = json;
  if (!isObject(normalizer) || normalizer['type'] !== 'BertNormalizer') return json;
  return {
    ...json,
    normalizer: {
      ...normalizer,
      lowercase: config['do_lower_case'] ?? true,
      strip_accents: config['strip_accents'] ?? null,
      handle_chinese_chars: config['tokenize_chinese_chars'] ?? true,
    },
  };
};

/** Llama's mark of spaces by the config: before a whole text, not before what follows a special token, unless `legacy` is set. */
const llama = (json: Json, { legacy, add_prefix_space: prefix }: Json): Json => {
  const { model, ...parts } = json;
  if (!isObject(model) || !('merges' in model) || JSON.stringify(parts).includes('"ByteLevel"')) return json;
  const marks = prefix ?? true;
  const scheme = legacy ? 'always' : 'first';
  return {
    ...json,
    normalizer: null,
    pre_tokenizer: {
      type: 'Metaspace',
      replacement: '▁',
      prepend_scheme: marks ? scheme : 'never',
      split: false,
    },
    decoder: sentencePieceDecoder(Boolean(marks)),
  };
};

/** A step that cuts texts into bytes, with a space in front of a text or without. */
const withPrefix = (step: unknown, prefix: boolean): unknown => {
  if (!isObject(step)) return step;
  const { pretokenizers: steps } = step;
  if (Array.isArray(steps)) return { ...step, pretokenizers: steps.map((one) => withPrefix(one, prefix)) };
  return step['type'] === 'ByteLevel' ? { ...step, add_prefix_space: prefix } : step;
};

/** The space in front of a text as the config says it, where it does. */
const bytes = (json: Json, { add_prefix_space: prefix }: Json): Json =>
  typeof prefix === 'boolean' ? { ...json, pre_tokenizer: withPrefix(json['pre_tokenizer'], prefix) } : json;

const remakes: Readonly<Record<string, (json: Json, config: Json) => Json>> = {
  BertTokenizer: bert,
  DistilBertTokenizer: bert,
  ElectraTokenizer: bert,
  MPNetTokenizer: bert,
  LlamaTokenizer: llama,
  GPT2Tokenizer: bytes,
  RobertaTokenizer: bytes,
  BartTokenizer: bytes,
};

/**
 * A `tokenizer.json` as the class of tokenizers that its folder names takes it: some make parts anew from `tokenizer_config.json`, whatever the file says.
 * `modelType`: that of the folder's `config.json`, if there is one. Source: transformers 5, `tokenization_auto.py`, `tokenization_bert.py`, `tokenization_llama.py`.
 */
export const partsByClass = (json: Json, config: Json, modelType?: unknown): Json => {
  const { tokenizer_class: named } = config;
  const own = typeof named === 'string' ? named.replace(/Fast$/, '') : byType[String(modelType)];
  if (own === undefined || general.includes(modelType) || !Object.hasOwn(remakes, own)) return json;
  return remakes[own]!(json, config);
};
