import { PeftError } from '@peftjs/tensor';
import { isObject } from '../json.ts';
import type { EncodeOptions, Tokenizer } from '../tokenizer.ts';
import { addedTokens, specialTokens } from './added-of-config.ts';
import { type AddedToken, type IsText, type Section, sectionizer } from './added-tokens.ts';
import { checkTokenizer } from './check.ts';
import { decoder } from './decoders.ts';
import { placeIn } from './locate.ts';
import { makeModel } from './model.ts';
import { type Normalize, normalizer } from './normalizers.ts';
import { type Part, partOf } from './part.ts';
import { neither, postProcessor } from './post-processors.ts';
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
  const around = part('post_processor', postProcessor) ?? { before: [], behind: [], pair: neither };
  const decodeTokens = part('decoder', decoder);

  const { padding } = json;
  const filling = isObject(padding) ? padding['pad_token'] : undefined;
  const roles = { ...config, pad_token: config['pad_token'] ?? filling };
  const added = addedTokens(checked, roles, who);
  const byContent = new Map(added.map((token) => [token.content, token]));
  const byId = new Map(added.map((token) => [token.id, token]));
  const vocabSize = added.reduce((size, { id }) => Math.max(size, id + 1), checked.size);
  const spelling = ({ content, normalized }: AddedToken): string => (normalized ? normalize(content) : content);
  const sectioned = sectionizer(added, normalize);
  const specials = added.filter(({ special }) => special).map(({ content }) => content);
  const idOf = (token: string): number | undefined => byContent.get(token)?.id ?? checked.ids.get(token);
  const inPair = (around.pair ?? []).flatMap((item) => ('id' in item ? [item.id] : []));
  const beyond = [...around.before, ...around.behind, ...inPair].find((id) => id >= vocabSize);
  if (beyond !== undefined)
    throw new PeftError(
      'bad-tokenizer',
      `${who}: post_processor puts id ${beyond} around a text, which the vocabulary of ${vocabSize} has not. Correct it.`,
    );

  /** Whether a special token that is spelt out in a text stays text: nowhere read, or not over one of the places. */
  const reads = config['split_special_tokens'] !== true;
  const textAt = ({ readSpecial = reads, apart = [] }: EncodeOptions): IsText => {
    if (readSpecial && apart.length === 0) return () => false;
    return ({ special }, start, end) => special && (!readSpecial || apart.some((at) => start < at && at < end));
  };
  const ofSection = (section: Section, options: EncodeOptions): number[] => {
    if (section.token) return [section.token.id];
    const { start, end } = section;
    // Places in a normalised text are not known: one within it counts for all of it.
    const { readSpecial = reads, apart = [] } = options;
    const isRead = readSpecial && !apart.some((at) => start < at && at < end);
    const ids: number[] = [];
    for (const part of sectioned.within(section, textAt({ readSpecial: isRead })))
      if (part.token) ids.push(part.token.id);
      else for (const piece of preTokenize(part)) for (const id of model.ids(piece.text)) ids.push(id);
    return ids;
  };
  const sectionsOf = (who: string, text: string, options: EncodeOptions): readonly Section[] => {
    if (typeof text !== 'string')
      throw new PeftError('bad-option', `${who}: the text is ${kindOf(text)}; give a string.`);
    return sectioned.raw(text, textAt(options));
  };

  const encode: Tokenizer['encode'] = (text, options = {}) => {
    const { special = true } = options;
    const ids: number[] = special ? [...around.before] : [];
    for (const section of sectionsOf('encode', text, options))
      for (const id of ofSection(section, options)) ids.push(id);
    if (special) ids.push(...around.behind);
    return Int32Array.from(ids);
  };

  const locate: Tokenizer['locate'] = (text, places, options = {}) => {
    const ids: number[] = [];
    const found = places.map(() => ({ before: 0, reached: 0 }));
    for (const section of sectionsOf('locate', text, options)) {
      const own = ofSection(section, options);
      const { start, end } = section;
      for (const [i, place] of places.entries()) {
        if (place <= start) continue;
        const { before, reached } =
          place >= end
            ? { before: own.length, reached: own.length }
            : placeIn(section, own, place - start, (part) => ofSection(part, options), decode);
        found[i] = { before: ids.length + before, reached: ids.length + reached };
      }
      for (const id of own) ids.push(id);
    }
    return { ids: Int32Array.from(ids), places: found };
  };

  const pair: Tokenizer['pair'] = (first, second) => {
    const items = around.pair;
    if (!items)
      throw new PeftError(
        'bad-tokenizer',
        `${who}: post_processor does not say how two texts are joined. Join them to one text, or use another tokenizer.`,
      );
    const texts = [first, second];
    const size = first.length + second.length + items.filter((item) => 'id' in item).length;
    const [ids, types, starts] = [new Int32Array(size), new Int32Array(size), [0, 0] as [number, number]];
    let at = 0;
    for (const item of items) {
      const own = 'id' in item ? [item.id] : texts[item.text]!;
      if ('text' in item) starts[item.text] = at;
      ids.set(own, at);
      types.fill(item.type, at, (at += own.length));
    }
    return { ids, types, starts };
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

  const [bosId, eosId, padId] = specialTokens(roles).map((token) => (token === undefined ? undefined : idOf(token)));
  return { vocabSize, bosId, eosId, padId, specials, encode, locate, pair, decode, idOf };
};

const kindOf = (value: unknown): string => (value === null ? 'null' : `of type ${typeof value}`);

const shownJson = (id: unknown): string => (typeof id === 'number' ? String(id) : `what is ${kindOf(id)}`);

const iterable = (ids: Iterable<number>): Iterable<number> => {
  if (typeof ids === 'object' && ids !== null && Symbol.iterator in ids) return ids;
  throw new PeftError('bad-option', `decode: the ids are ${kindOf(ids)}; give a list of whole numbers.`);
};
