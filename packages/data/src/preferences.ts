import type { Chat, ChatMessage, ChatOptions, Tokenizer } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { flatMap } from './flat-map.ts';
import { ignored } from './ignored.ts';
import type { Stage } from './stream.ts';
import { kindOf } from './words.ts';

/** How pairs become rows. */
export interface PreferencesOptions extends Pick<ChatOptions, 'template' | 'variables' | 'readSpecial'> {
  /** Tokens in a row, at most: of longer ones the end is cut off. Default: none is cut. */
  readonly context?: number;
}

/** A prompt and one of two answers to it; −100 where nothing is judged. */
export type PreferenceRow = { readonly ids: Int32Array; readonly labels: Int32Array };

const rules: Rules<PreferencesOptions> = {
  template: mustBe.text,
  variables: mustBe.object,
  readSpecial: mustBe.flag,
  context: mustBe.count,
};

type Item = Readonly<Record<string, unknown>>;
type Messages = readonly ChatMessage[];

/** All tokens, and from where on they are judged, if they are. */
interface Written {
  readonly ids: Int32Array;
  readonly isJudged: (at: number) => boolean;
}

const sharedLength = <T>(a: ArrayLike<T>, b: ArrayLike<T>, same: (x: T, y: T) => boolean = Object.is): number => {
  let n = 0;
  while (n < a.length && n < b.length && same(a[n]!, b[n]!)) n++;
  return n;
};

const messagesOf = (value: unknown, role: string): Messages | null => {
  if (typeof value === 'string') return [{ role, content: value }];
  return Array.isArray(value) ? (value as Messages) : null;
};

const sides = ['chosen', 'rejected'] as const;

const refuse = (item: Item, wanted: string): never => {
  const found = ['prompt', ...sides].map((name) => `${kindOf(item[name])} as ${name}`);
  throw new PeftError('bad-data', `has ${found.join(', ')}; ${wanted}`);
};

/** Both conversations of an item, and how many messages of their beginning are the prompt. */
const conversations = (item: Item): { readonly both: readonly Messages[]; readonly prompt: number } => {
  const answers = sides.map((side) => messagesOf(item[side], 'assistant'));
  const prompt = item['prompt'] === undefined ? [] : messagesOf(item['prompt'], 'user');
  const [chosen, rejected] = answers;
  if (!chosen || !rejected || !prompt)
    return refuse(
      item,
      'a chat takes texts or lists of messages: { prompt, chosen, rejected }, or { chosen, rejected } that begin alike',
    );
  const same = (a: ChatMessage, b: ChatMessage): boolean => JSON.stringify(a) === JSON.stringify(b);
  const shared = prompt.length > 0 ? prompt.length : sharedLength(chosen, rejected, same);
  if (shared === 0)
    return refuse(item, 'chosen and rejected have no message in common, so there is no prompt; give it');
  return { both: [chosen, rejected].map((answer) => [...prompt, ...answer]), prompt: shared };
};

const fromChat =
  ({ encode, encodeTurns }: Pick<Chat, 'encode' | 'encodeTurns'>, how: ChatOptions) =>
  (item: Item): readonly Written[] => {
    const { tools, documents } = item as Pick<ChatOptions, 'tools' | 'documents'>;
    const all = { ...how, ...(tools && { tools }), ...(documents && { documents }) };
    const { both, prompt } = conversations(item);
    return both.map((messages) => {
      const { ids, assistant } = encodeTurns(messages, all);
      const begins = sharedLength(encode(messages.slice(0, prompt), all), ids);
      return { ids, isJudged: (at) => at >= begins && assistant[at] === 1 };
    });
  };

const fromText =
  ({ encode, eosId }: Pick<Tokenizer, 'encode' | 'eosId'>) =>
  (item: Item): readonly Written[] => {
    const { prompt, chosen, rejected } = item;
    if (typeof prompt !== 'string' || typeof chosen !== 'string' || typeof rejected !== 'string')
      return refuse(item, 'a tokenizer takes texts, { prompt, chosen, rejected }; messages need what `loadChat` gives');
    const before = encode(prompt);
    return [chosen, rejected].map((answer) => {
      const ids = [...encode(prompt + answer)];
      if (eosId !== undefined && ids.at(-1) !== eosId) ids.push(eosId);
      const begins = sharedLength(before, ids);
      return { ids: Int32Array.from(ids), isJudged: (at) => at >= begins };
    });
  };

/**
 * Pairs, `{ prompt, chosen, rejected }`, as two rows of `ids` and `labels` that follow one another, the chosen one first: what `dpo` and its kin read. Labels are of
 * the answers alone. With what `loadChat` gives, prompt and answers are texts or lists of messages, and `{ chosen, rejected }` of whole conversations
 * have their common beginning for a prompt; with a tokenizer they are texts, joined as they are and ended by its end of text.
 *
 * Shuffle before this stage, and give `batch` an even size. Throws `bad-data`, with the place, for what is no pair, and where nothing of an answer is left to judge.
 */
export const preferences = (
  source: Pick<Chat, 'encode' | 'encodeTurns'> | Pick<Tokenizer, 'encode' | 'eosId'>,
  options: PreferencesOptions = {},
): Stage<unknown, PreferenceRow> => {
  checkOptions('preferences', rules, options);
  const { context = Number.POSITIVE_INFINITY, ...how } = options;
  const write = 'encodeTurns' in source ? fromChat(source, how) : fromText(source);
  return flatMap((value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new PeftError('bad-data', `is ${kindOf(value)}; a pair is { prompt, chosen, rejected }`);
    return write(value as Item).map(({ ids, isJudged }, i) => {
      const kept = ids.subarray(0, Math.min(ids.length, context + 1));
      const labels = kept.slice(1).map((id, t) => (isJudged(t + 1) ? id : ignored));
      if (labels.every((label) => label === ignored))
        throw new PeftError(
          'bad-data',
          `has no token of ${sides[i]} to judge${ids.length > kept.length ? ` within ${context} tokens; leave it out, or take more` : ', which adds nothing to the prompt; leave it out'}`,
        );
      return { ids: kept.slice(0, -1), labels };
    });
  });
};
