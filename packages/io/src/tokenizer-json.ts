import { PeftError } from '@peftjs/tensor';
import { isObject } from './json.ts';
import { listed, quote } from './report.ts';

/** Ids index an array, so one huge id would take the memory of as many. The largest vocabularies have 300,000. */
const idLimit = 2 ** 24;

const types: readonly unknown[] = ['BPE', 'WordPiece', 'Unigram'];

/** What was checked of a `tokenizer.json`. */
export interface CheckedTokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The JSON with the parts present that may be left out. */
  readonly complete: Readonly<Record<string, unknown>>;
}

/**
 * Checks vocabulary and added tokens of a parsed `tokenizer.json`: ids are whole numbers, small enough, and no two tokens
 * share one. Throws `PeftError` `bad-tokenizer` with all that is wrong.
 */
export const checkTokenizer = (json: Readonly<Record<string, unknown>>, who: string): CheckedTokenizer => {
  const problems: string[] = [];
  const tokens = new Map<number, string>();
  const take = (token: unknown, id: unknown): void => {
    if (typeof token !== 'string') problems.push(`token ${JSON.stringify(token)} is not a text`);
    else if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= idLimit)
      problems.push(`token ${quote(token)} has id ${JSON.stringify(id)}, not a whole number from 0 to ${idLimit - 1}`);
    else if ((tokens.get(id as number) ?? token) !== token)
      problems.push(`tokens ${quote(tokens.get(id as number)!)} and ${quote(token)} share the id ${id}`);
    else tokens.set(id as number, token);
  };

  const { model, added_tokens: added = [] } = json;
  const vocab = isObject(model) ? model['vocab'] : undefined;
  const type = isObject(model) ? typeOf(model) : undefined;
  if (isObject(model) && !types.includes(type))
    problems.push(`model.type ${JSON.stringify(type)} is none of ${types.join(', ')}`);
  // A Unigram model lists tokens with their scores, the place is the id.
  if (Array.isArray(vocab)) vocab.forEach((entry, id) => take(Array.isArray(entry) ? entry[0] : entry, id));
  else if (isObject(vocab)) for (const [token, id] of Object.entries(vocab)) take(token, id);
  else problems.push('model.vocab is neither an object nor a list');
  if (Array.isArray(added)) for (const token of added) take(token?.content, token?.id);
  else problems.push('added_tokens is not a list');
  if (tokens.size === 0 && problems.length === 0) problems.push('the vocabulary is empty');

  if (problems.length > 0)
    throw new PeftError('bad-tokenizer', `${who}: is not a sound tokenizer:${listed(problems)}\nDownload it again.`);
  const none = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
  const vocabSize = [...tokens.keys()].reduce((most, id) => Math.max(most, id), -1) + 1;
  return { vocabSize, complete: { ...none, ...json, added_tokens: added, model: { ...(model as object), type } } };
};

/** Old files leave the type out; what they have tells it. */
const typeOf = (model: Record<string, unknown>): unknown => {
  if (model['type'] !== undefined) return model['type'];
  if (Array.isArray(model['vocab'])) return 'Unigram';
  return 'merges' in model ? 'BPE' : 'WordPiece';
};

/** `tokenizer_config.json` with each special token as its text; the file may hold it as `{ content, ... }`. */
export const plainConfig = (config: Readonly<Record<string, unknown>>): Record<string, unknown> => {
  const plain = (value: unknown): unknown =>
    isObject(value) && typeof value['content'] === 'string' ? value['content'] : value;
  const entries = Object.entries(config).map(([key, value]) => {
    if (key.endsWith('_token')) return [key, plain(value) ?? undefined];
    if (key === 'additional_special_tokens') return [key, Array.isArray(value) ? value.map(plain) : []];
    return [key, value];
  });
  return Object.fromEntries(entries);
};
