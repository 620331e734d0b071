import { PeftError } from '@peftjs/tensor';
import { isObject } from '../json.ts';
import { listed, quote, shownJson } from '../report.ts';

/** Ids index an array, so one huge id would take the memory of as many. The largest vocabularies have 300,000. */
const idLimit = 2 ** 24;

const types: readonly unknown[] = ['BPE', 'WordPiece', 'Unigram'];

/** `max_input_chars_per_word` of WordPiece, whose time grows with its square. */
const longestWord = 1000;

/** The checked part of a `tokenizer.json`. */
export interface CheckedTokenizer {
  /** One more than the largest id of the model's vocabulary. */
  readonly size: number;
  /** That vocabulary. */
  readonly ids: ReadonlyMap<string, number>;
  /** The model with its type, which may be left out. */
  readonly model: Readonly<Record<string, unknown>>;
  /** Tokens that are added, as the file has them. */
  readonly added: readonly unknown[];
}

/**
 * Checks vocabulary and added tokens of a parsed `tokenizer.json`: ids are whole numbers, small enough, and no two tokens
 * share one. Throws `PeftError` `bad-tokenizer` with all that is wrong.
 */
export const checkTokenizer = (json: Readonly<Record<string, unknown>>, who: string): CheckedTokenizer => {
  const problems: string[] = [];
  const tokens = new Map<number, string>();
  const ids = new Map<string, number>();
  const take = (token: unknown, id: unknown, to?: Map<string, number>): void => {
    if (typeof token !== 'string') problems.push(`token ${shownJson(token)} is not a text`);
    else if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= idLimit)
      problems.push(`token ${quote(token)} has id ${shownJson(id)}, not a whole number from 0 to ${idLimit - 1}`);
    else if ((tokens.get(id as number) ?? token) !== token)
      problems.push(`tokens ${quote(tokens.get(id as number)!)} and ${quote(token)} share the id ${id}`);
    else {
      tokens.set(id as number, token);
      to?.set(token, id as number);
    }
  };

  const { model, added_tokens: added = [] } = json;
  const vocab = isObject(model) ? model['vocab'] : undefined;
  const type = isObject(model) ? typeOf(model) : undefined;
  if (isObject(model)) checkModel(model, type, problems);
  // A Unigram model lists tokens with their scores, the place is the id.
  if (Array.isArray(vocab)) vocab.forEach((entry, id) => take(Array.isArray(entry) ? entry[0] : entry, id, ids));
  else if (isObject(vocab)) for (const [token, id] of Object.entries(vocab)) take(token, id, ids);
  else problems.push('model.vocab is neither an object nor a list');
  if (Array.isArray(added)) for (const token of added) take(token?.content, token?.id);
  else problems.push('added_tokens is not a list');
  if (tokens.size === 0 && problems.length === 0) problems.push('the vocabulary is empty');

  if (problems.length > 0)
    throw new PeftError('bad-tokenizer', `${who}: is not a sound tokenizer:${listed(problems)}\nDownload it again.`);
  let size = 0;
  for (const id of ids.values()) size = Math.max(size, id + 1);
  return { size, ids, added: added as readonly unknown[], model: { ...(model as object), type } };
};

/** The faults of a model that the library would read otherwise than Python does, or without end. */
const checkModel = (model: Record<string, unknown>, type: unknown, problems: string[]): void => {
  if (!types.includes(type)) problems.push(`model.type ${shownJson(type)} is none of ${types.join(', ')}`);
  if (type === 'BPE' && model['continuing_subword_prefix'])
    problems.push('model.continuing_subword_prefix is not supported');
  if (type === 'BPE' && model['dropout']) problems.push('model.dropout is not supported: it makes tokens at random');
  const most = model['max_input_chars_per_word'] ?? 100;
  if (type === 'WordPiece' && !(Number.isInteger(most) && (most as number) >= 0 && (most as number) <= longestWord))
    problems.push(`model.max_input_chars_per_word is not a whole number up to ${longestWord}`);
  const vocab = model['vocab'];
  if (
    type === 'Unigram' &&
    Array.isArray(vocab) &&
    !vocab.every((entry) => Array.isArray(entry) && Number.isFinite(entry[1]))
  )
    problems.push('model.vocab has a token without a score');
  const unknown = model['unk_id'];
  const size = Array.isArray(vocab) ? vocab.length : 0;
  const isOne = Number.isInteger(unknown) && (unknown as number) >= 0 && (unknown as number) < size;
  if (type === 'Unigram' && unknown != null && !isOne)
    problems.push(`model.unk_id is ${shownJson(unknown)}, no place in the vocabulary of ${size}`);
  if (type === 'BPE' && isObject(vocab) && Object.keys(vocab).length > 0) {
    const problem = mergeProblem(model['merges'], vocab);
    if (problem !== null) problems.push(problem);
  }
};

/** The first fault of the merges of a BPE model, as Python's tokenizers refuse them: each is two tokens, which make a third. */
const mergeProblem = (merges: unknown, vocab: Record<string, unknown>): string | null => {
  if (!Array.isArray(merges)) return 'model.merges is not a list';
  for (const [i, merge] of merges.entries()) {
    const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(parts) || parts.length !== 2 || parts.some((part) => typeof part !== 'string'))
      return `model.merges[${i}] is ${shownJson(merge)}, not two tokens`;
    const missing = [...parts, parts.join('')].find((token) => !Object.hasOwn(vocab, token));
    if (missing !== undefined) return `model.merges[${i}] has ${shownJson(missing)}, which is not in the vocabulary`;
  }
  return null;
};

/** Old files leave the type out; what they have tells it. */
const typeOf = (model: Record<string, unknown>): unknown => {
  if (model['type'] !== undefined) return model['type'];
  if (Array.isArray(model['vocab'])) return 'Unigram';
  return 'merges' in model ? 'BPE' : 'WordPiece';
};
