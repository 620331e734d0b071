import { PeftError } from '@peftjs/tensor';
import type { Tokenizer } from '../tokenizer.ts';
import { addedTokens, specialTokens } from './added-of-config.ts';
import { type AddedToken, sectionizer } from './added-tokens.ts';
import { checkTokenizer } from './check.ts';
import { decoder } from './decoders.ts';
import { makeModel } from './model.ts';
import { type Normalize, normalizer } from './normalizers.ts';
import { type Part, partOf } from './part.ts';
import { postProcessor } from './post-processors.ts';
import { type PreTokenize, preTokenizer } from './pre-tokenizers.ts';

/** A tokenizer from parsed `tokenizer.json` and `tokenizer_config.json`. Throws `PeftError` `bad-tokenizer`. */
export const buildTokenizer = (
  json: Readonly<Record<string, unknown>>,
  config: Readonly<Record<string, unknown>> = {},
  who = 'tokenizer.json',
): Tokenizer => {
  const checked = checkTokenizer(json, who);
  const model = makeModel(checked.model, who);
  const part = <T>(name: string, make: (part: Part) => T): T | undefined => {
    const found = partOf(json[name], `${who}: ${name}`);
    return found && make(found);
  };
  const normalize: Normalize = part('normalizer', normalizer) ?? ((text) => text);
  const preTokenize: PreTokenize = part('pre_tokenizer', preTokenizer) ?? ((piece) => [piece]);
  const around = part('post_processor', postProcessor);
  const decodeTokens = part('decoder', decoder);

  const added = addedTokens(checked, config, who);
  const byContent = new Map(added.map((token) => [token.content, token]));
  const byId = new Map(added.map((token) => [token.id, token]));
  const vocabSize = added.reduce((size, { id }) => Math.max(size, id + 1), checked.size);
  const spelling = ({ content, normalized }: AddedToken): string => (normalized ? normalize(content) : content);
  const toSections = sectionizer(added, normalize);
  const idOf = (token: string): number | undefined => byContent.get(token)?.id ?? checked.ids.get(token);
  const beyond = [...(around?.before ?? []), ...(around?.behind ?? [])].find((id) => id >= vocabSize);
  if (beyond !== undefined)
    throw new PeftError(
      'bad-tokenizer',
      `${who}: post_processor puts id ${beyond} around a text, which the vocabulary of ${vocabSize} has not. Correct it.`,
    );

  const encode: Tokenizer['encode'] = (text, { special = true } = {}) => {
    if (typeof text !== 'string')
      throw new PeftError('bad-option', `encode: the text is ${kindOf(text)}; give a string.`);
    const ids: number[] = special && around ? [...around.before] : [];
    for (const section of toSections(text))
      if (section.token) ids.push(section.token.id);
      else for (const piece of preTokenize(section)) for (const id of model.ids(piece.text)) ids.push(id);
    if (special && around) ids.push(...around.behind);
    return Int32Array.from(ids);
  };

  const decode: Tokenizer['decode'] = (ids, { skipSpecial = false } = {}) => {
    const tokens: string[] = [];
    for (const id of iterable(ids)) {
      if (!Number.isInteger(id) || id < 0 || id > 0xffff_ffff)
        throw new PeftError('bad-data', `decode: ${shownJson(id)} is no id; ids are whole numbers of at least 0.`);
      const own = byId.get(id);
      const token = own ? spelling(own) : model.tokenOf(id);
      if (token !== undefined && !(skipSpecial && own?.special)) tokens.push(token);
    }
    return decodeTokens ? decodeTokens(tokens).join('') : tokens.join(' ');
  };

  const [bosId, eosId, padId] = specialTokens(config).map((token) => (token === undefined ? undefined : idOf(token)));
  return { vocabSize, bosId, eosId, padId, encode, decode, idOf };
};

const kindOf = (value: unknown): string => (value === null ? 'null' : `of type ${typeof value}`);

const shownJson = (id: unknown): string => (typeof id === 'number' ? String(id) : `what is ${kindOf(id)}`);

const iterable = (ids: Iterable<number>): Iterable<number> => {
  if (typeof ids === 'object' && ids !== null && Symbol.iterator in ids) return ids;
  throw new PeftError('bad-option', `decode: the ids are ${kindOf(ids)}; give a list of whole numbers.`);
};
