import type { Chat, ChatMessage, ChatOptions, Tokenizer } from '@peftjs/io';
import { mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { ignored } from './ignored.ts';
import { kindOf } from './words.ts';

/** The writer of prompts and answers: `loadChat` gives the one, `loadTokenizer` the other. */
export type AnswerSource = Pick<Chat, 'encode' | 'encodeTurns'> | Pick<Tokenizer, 'encode' | 'eosId'>;

/** How prompts with answers become rows. */
export interface AnswerOptions extends Pick<ChatOptions, 'template' | 'variables' | 'readSpecial'> {
  /** Tokens in a row, at most: of longer ones the end is cut off. Default: none is cut. */
  readonly context?: number;
}

/** The rules for it. */
export const answerRules: Rules<AnswerOptions> = {
  template: mustBe.text,
  variables: mustBe.object,
  readSpecial: mustBe.flag,
  context: mustBe.count,
};

/** A prompt and an answer to it; −100 where nothing is judged. */
export type AnswerRow = { readonly ids: Int32Array; readonly labels: Int32Array };

/** A prompt with answers, as a stage is given it. */
export type AnswerItem = Readonly<Record<string, unknown>>;

type Messages = readonly ChatMessage[];

/** All tokens, and which of them are judged. */
export interface Answer {
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

const refuse = (item: AnswerItem, names: readonly string[], wanted: string): never => {
  const found = ['prompt', ...names].map((name) => `${kindOf(item[name])} as ${name}`);
  throw new PeftError('bad-data', `has ${found.join(', ')}; ${wanted}`);
};

/** Conversations of an item, one for each answer, and how many messages of their beginning are the prompt. */
const conversations = (
  item: AnswerItem,
  names: readonly string[],
): { readonly all: readonly Messages[]; readonly prompt: number } => {
  const answers = names.map((name) => messagesOf(item[name], 'assistant'));
  const given = item['prompt'] === undefined ? [] : messagesOf(item['prompt'], 'user');
  const found = answers.filter((answer) => answer !== null);
  if (found.length < answers.length || !given)
    return refuse(item, names, `a chat takes texts or lists of messages: prompt, ${names.join(', ')}`);
  const same = (a: ChatMessage, b: ChatMessage): boolean => JSON.stringify(a) === JSON.stringify(b);
  // Two answers may begin with their prompt.
  const prompt = given.length > 0 || found.length < 2 ? given.length : sharedLength(found[0]!, found[1]!, same);
  if (prompt === 0)
    return refuse(item, names, `there is no message that ${names.join(' and ')} answer to; give it as prompt`);
  return { all: found.map((answer) => [...given, ...answer]), prompt };
};

const fromChat =
  ({ encode, encodeTurns }: Pick<Chat, 'encode' | 'encodeTurns'>, how: ChatOptions) =>
  (item: AnswerItem, names: readonly string[]): readonly Answer[] => {
    const { tools, documents } = item as Pick<ChatOptions, 'tools' | 'documents'>;
    const options = { ...how, ...(tools && { tools }), ...(documents && { documents }) };
    const { all, prompt } = conversations(item, names);
    return all.map((messages) => {
      const { ids, assistant } = encodeTurns(messages, options);
      const begins = sharedLength(encode(messages.slice(0, prompt), options), ids);
      return { ids, isJudged: (at) => at >= begins && assistant[at] === 1 };
    });
  };

const fromText =
  ({ encode, eosId }: Pick<Tokenizer, 'encode' | 'eosId'>) =>
  (item: AnswerItem, names: readonly string[]): readonly Answer[] => {
    const [prompt, ...answers] = ['prompt', ...names].map((name) => item[name]);
    const texts = answers.filter((answer) => typeof answer === 'string');
    if (typeof prompt !== 'string' || texts.length < answers.length)
      return refuse(item, names, 'a tokenizer takes texts; messages need what `loadChat` gives');
    const before = encode(prompt);
    return texts.map((answer) => {
      const ids = [...encode(prompt + answer)];
      if (eosId !== undefined && ids.at(-1) !== eosId) ids.push(eosId);
      const begins = sharedLength(before, ids);
      return { ids: Int32Array.from(ids), isJudged: (at) => at >= begins };
    });
  };

/** Writes the prompt of an item with each of its answers, which are in the fields of these names. */
export const answersOf = (
  source: AnswerSource,
  how: ChatOptions,
): ((value: unknown, names: readonly string[]) => readonly Answer[]) => {
  const write = 'encodeTurns' in source ? fromChat(source, how) : fromText(source);
  return (value, names) => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return write(value as AnswerItem, names);
    throw new PeftError('bad-data', `is ${kindOf(value)} where { prompt, ${names.join(', ')} } is wanted`);
  };
};

/** The row of an answer, at most `context` tokens: `labels[t]` is the token after `ids[t]` where it is judged. Throws `bad-data` where none is. */
export const answerRow = ({ ids, isJudged }: Answer, name: string, context: number): AnswerRow => {
  const kept = ids.subarray(0, Math.min(ids.length, context + 1));
  const labels = kept.slice(1).map((id, t) => (isJudged(t + 1) ? id : ignored));
  if (labels.some((label) => label !== ignored)) return { ids: kept.slice(0, -1), labels };
  const isCut = ids.length > kept.length;
  throw new PeftError(
    'bad-data',
    `has no token of ${name} to judge${isCut ? ` within ${context} tokens; leave it out, or take more` : ', which adds nothing to the prompt; leave it out'}`,
  );
};
