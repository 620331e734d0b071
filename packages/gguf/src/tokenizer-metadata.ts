import { isObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { TokenIds } from '@peftjs/transformer';
import type { WrittenValue } from './encode.ts';
import { cuts } from './tokenizer-cuts.ts';

type Json = Readonly<Record<string, unknown>>;

/** Kinds of tokens: of the vocabulary, unknown, special, added by a user, a byte. */
const [normal, unknown, control, userDefined, byte] = [1, 2, 3, 4, 6];

const parsed = (who: string, name: string, bytes: Uint8Array | undefined): Json | null => {
  if (!bytes) return null;
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (isObject(json)) return json;
  } catch {
    // Told below.
  }
  throw new PeftError('bad-tokenizer', `${who}: the ${name} beside the model is no JSON object. Correct or remove it.`);
};

/** The steps of a part that may be a sequence of them. */
const stepsOf = (part: unknown, field: string): readonly Json[] => {
  if (!isObject(part)) return [];
  const steps = part['type'] === 'Sequence' ? part[field] : [part];
  return Array.isArray(steps) ? steps.filter(isObject) : [];
};

/** The fields of a step that change the pieces which it makes. */
const essence = (step: Readonly<Record<string, unknown>>): unknown => {
  switch (step['type']) {
    case 'Split':
      return ['Split', step['pattern'], step['behavior'], step['invert'] ?? false];
    case 'Digits':
      return ['Digits', step['individual_digits'] ?? false];
    case 'ByteLevel':
      return ['ByteLevel', step['add_prefix_space'] ?? true, step['use_regex'] ?? true];
    default:
      return step;
  }
};

const same = (a: readonly unknown[], b: readonly unknown[]): boolean => JSON.stringify(a) === JSON.stringify(b);

/** llama.cpp's name for how a tokenizer cuts texts; undefined where it has none. */
const cutOf = (json: Json, model: Json): string | undefined => {
  const steps = stepsOf(json['pre_tokenizer'], 'pretokenizers').map(essence);
  const normalizers = stepsOf(json['normalizer'], 'normalizers').map(essence);
  const ignores = model['ignore_merges'] === true;
  return Object.entries(cuts).find(
    ([, cut]) =>
      same(cut.steps.map(essence), steps) &&
      same(cut.normalizer ? [cut.normalizer] : [], normalizers) &&
      (cut.ignoreMerges ?? false) === ignores,
  )?.[0];
};

/** The two halves of each merge: old files have them as one text. */
const mergesOf = (model: Json): readonly (readonly [string, string])[] =>
  (Array.isArray(model['merges']) ? model['merges'] : []).flatMap((merge): (readonly [string, string])[] => {
    const halves = typeof merge === 'string' ? merge.split(' ') : merge;
    return Array.isArray(halves) && halves.length === 2 ? [[String(halves[0]), String(halves[1])]] : [];
  });

interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
}

/** Tokens by id, up to the size of the model's table; ids that the vocabulary lacks are filled up, as llama.cpp does. */
const vocabularyOf = (json: Json, model: Json, size: number): Vocabulary => {
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(size).fill(userDefined);
  const bytes = model['byte_fallback'] === true;
  for (const [token, id] of Object.entries((model['vocab'] ?? {}) as Readonly<Record<string, number>>)) {
    tokens[id] = token;
    types[id] = bytes && /^<0x[0-9A-F]{2}>$/.test(token) ? byte : normal;
  }
  for (const added of (Array.isArray(json['added_tokens']) ? json['added_tokens'] : []).filter(isObject)) {
    const id = Number(added['id']);
    tokens[id] = String(added['content']);
    types[id] = added['special'] === true ? control : userDefined;
  }
  const unknownId = tokens.indexOf(String(model['unk_token'] ?? ''));
  if (unknownId >= 0 && bytes) types[unknownId] = unknown;
  return { tokens, types };
};

/** Scores of SentencePiece: of two tokens the one that is merged earlier has the higher. */
const scoresOf = (tokens: readonly string[], merges: readonly (readonly [string, string])[]): readonly number[] => {
  const ranks = new Map<string, number>();
  for (const [rank, [left, right]] of merges.entries()) if (!ranks.has(left + right)) ranks.set(left + right, rank);
  return tokens.map((token) => -(ranks.get(token) ?? 0));
};

/** Whether a tokenizer puts its first token before every text. */
const begins = (json: Json): boolean =>
  stepsOf(json['post_processor'], 'processors').some(
    ({ type, single }) =>
      type === 'TemplateProcessing' && Array.isArray(single) && isObject(single[0]) && 'SpecialToken' in single[0],
  );

const text = (value: string): WrittenValue => ({ kind: 'string', value });

/**
 * The metadata of a tokenizer, of the files beside a model; none where there is no `tokenizer.json`. Throws `bad-tokenizer` for one that llama.cpp has no
 * name for.
 */
export const tokenizerMetadata = (
  who: string,
  files: ReadonlyMap<string, Uint8Array>,
  { vocabSize, bosId, eosIds, padId }: TokenIds & { readonly vocabSize: number },
): readonly (readonly [string, WrittenValue])[] => {
  const json = parsed(who, 'tokenizer.json', files.get('tokenizer.json'));
  if (!json) return [];
  const config = parsed(who, 'tokenizer_config.json', files.get('tokenizer_config.json')) ?? {};
  const model = isObject(json['model']) ? json['model'] : {};
  const pieces = model['byte_fallback'] === true;
  const cut = pieces ? null : cutOf(json, model);
  if (model['type'] !== 'BPE' || cut === undefined)
    throw new PeftError(
      'bad-tokenizer',
      `${who}: llama.cpp has no name here for how tokenizer.json of the model cuts texts; written are BPE of bytes, cut as ${Object.keys(cuts).join(', ')}, and SentencePiece's BPE. Load the model from a folder without tokenizer.json to write it without one.`,
    );
  const { tokens, types } = vocabularyOf(json, model, vocabSize);
  const merges = mergesOf(model);
  const template = config['chat_template'];
  const idRow = (name: string, id: number | null | undefined): (readonly [string, WrittenValue])[] =>
    typeof id === 'number' ? [[`tokenizer.ggml.${name}_token_id`, { kind: 'u32', value: id }]] : [];
  return [
    ['tokenizer.ggml.model', text(pieces ? 'llama' : 'gpt2')],
    ...(cut ? ([['tokenizer.ggml.pre', text(cut)]] as const) : []),
    ['tokenizer.ggml.tokens', { kind: 'strings', value: tokens }],
    ['tokenizer.ggml.token_type', { kind: 'i32s', value: types }],
    pieces
      ? ['tokenizer.ggml.scores', { kind: 'f32s', value: scoresOf(tokens, merges) }]
      : ['tokenizer.ggml.merges', { kind: 'strings', value: merges.map((halves) => halves.join(' ')) }],
    ...idRow('bos', bosId),
    ...idRow('eos', eosIds[0]),
    ...idRow('padding', padId),
    ...(pieces ? idRow('unknown', types.indexOf(unknown) < 0 ? null : types.indexOf(unknown)) : []),
    ['tokenizer.ggml.add_bos_token', { kind: 'bool', value: begins(json) }],
    ...(pieces
      ? ([
          [
            'tokenizer.ggml.add_space_prefix',
            { kind: 'bool', value: JSON.stringify(json['normalizer'] ?? null).includes('"Prepend"') },
          ],
        ] as const)
      : []),
    ...(typeof template === 'string' ? ([['tokenizer.chat_template', text(template)]] as const) : []),
  ];
};
