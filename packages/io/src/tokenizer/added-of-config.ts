import { PeftError } from '@peftjs/tensor';
import { isObject } from '../json.ts';
import { listed, quote } from '../report.ts';
import type { AddedToken } from './added-tokens.ts';
import type { CheckedTokenizer } from './check.ts';

const longest = 1000;

/** The content of a token, which a config holds as text or as `{ content, ... }`. */
const contentOf = (value: unknown): string | undefined => {
  const content = isObject(value) ? value['content'] : value;
  return typeof content === 'string' && content !== '' ? content : undefined;
};

const roles = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'] as const;

/** The special tokens by role that a config names, also those of a model's own (`extra_special_tokens`, where they have names). */
export const roleTokens = (config: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> => {
  const own = isObject(config['extra_special_tokens']) ? config['extra_special_tokens'] : {};
  const all = [...Object.entries(own), ...roles.map((role) => [role, config[role]] as const)];
  return Object.fromEntries(all.flatMap(([role, token]) => (contentOf(token) ? [[role, contentOf(token)!]] : [])));
};

/** The tokens that begin a text, end it, and fill it up. */
export const specialTokens = (config: Readonly<Record<string, unknown>>): readonly (string | undefined)[] =>
  (['bos_token', 'eos_token', 'pad_token'] as const).map((role) => contentOf(config[role]));

const listOf = (value: unknown): readonly unknown[] => {
  if (Array.isArray(value)) return value;
  return isObject(value) ? Object.values(value) : [];
};

const tokenOf = (value: unknown, id: number, isNamed: boolean): AddedToken => {
  const fields = isObject(value) ? value : {};
  const is = (field: string): boolean => fields[field] === true;
  const special = isNamed || is('special');
  const normalized = typeof fields['normalized'] === 'boolean' ? fields['normalized'] : !special;
  const content = contentOf(value)!;
  return {
    id,
    content,
    singleWord: is('single_word'),
    lstrip: is('lstrip'),
    rstrip: is('rstrip'),
    normalized,
    special,
  };
};

/**
 * All tokens that are added to a vocabulary: those of `tokenizer.json`; then those that `added_tokens_decoder` of the config has beyond;
 * then special ones that it only names, which get the next ids. Throws `PeftError` `bad-tokenizer`.
 *
 * Source: huggingface/transformers, `tokenization_utils_tokenizers.py`.
 */
export const addedTokens = (
  { ids, size, added }: CheckedTokenizer,
  config: Readonly<Record<string, unknown>>,
  who: string,
): readonly AddedToken[] => {
  const tokens = new Map<string, AddedToken>();
  const problems: string[] = [];
  const add = (value: unknown, told: number | undefined, isNamed: boolean): void => {
    const content = contentOf(value);
    if (content === undefined || tokens.has(content)) return;
    const id = ids.get(content) ?? told ?? next;
    if (content.length > longest) problems.push(`token ${quote(content)} has more than ${longest} characters`);
    if (told !== undefined && id !== told)
      problems.push(`token ${quote(content)} has id ${id} in the vocabulary, ${told} among the added ones`);
    tokens.set(content, tokenOf(value, id, isNamed));
    next = Math.max(next, id + 1);
  };
  let next = size;
  for (const token of added) add(token, isObject(token) ? (token['id'] as number) : undefined, false);

  const named = [
    ...roles.map((role) => config[role]),
    ...listOf(config['additional_special_tokens']),
    ...listOf(config['extra_special_tokens']),
  ];
  const names = new Set(named.map(contentOf));
  const later = Object.entries(isObject(config['added_tokens_decoder']) ? config['added_tokens_decoder'] : {});
  for (const [key, token] of later.sort(([a], [b]) => Number(a) - Number(b))) {
    const content = contentOf(token);
    if (content === undefined || tokens.has(content)) continue;
    const expected = ids.get(content) ?? next;
    if (Number(key) !== expected)
      problems.push(
        `tokenizer_config.json gives token ${quote(content)} the id ${quote(key)}; the next is ${expected}`,
      );
    add(token, undefined, names.has(content));
  }
  for (const token of named) add(token, undefined, true);
  if (problems.length > 0)
    throw new PeftError(
      'bad-tokenizer',
      `${who}: its added tokens are not sound:${listed(problems)}\nCorrect them, or use another tokenizer.`,
    );
  return [...tokens.values()];
};
