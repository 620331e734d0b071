import type { Chat, ChatMessage, Tokenizer } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import type { ChatRow } from '../chat.ts';
import type { CompletionItem, TextItem } from '../formats/items.ts';
import { ignored } from '../ignored.ts';
import { map } from '../map.ts';
import type { Stage } from '../stream.ts';
import { kindOf } from '../words.ts';

/** The part of a tokenizer that makes rows of texts. */
export type TextCodec = Pick<Tokenizer, 'encode' | 'eosId'>;

/** The part of a chat that makes rows of conversations. */
export type ChatCodec = Pick<Chat, 'encode' | 'encodeTurns'> & { readonly tokenizer: TextCodec };

/** How prompts and completions become rows. */
export interface CompletionRowOptions {
  /** The tokens that are learnt: those of the completion, those of it that the assistant says, or all. Default `completion`. */
  readonly learn?: 'completion' | 'assistant' | 'all';
  /** Whether a completion that is a text ends with the token that ends texts, so that the model learns to end. Default true. */
  readonly end?: boolean;
}

const rules: Rules<CompletionRowOptions> = {
  learn: mustBe.oneOf(['completion', 'assistant', 'all']),
  end: mustBe.flag,
};

/** The ids of a text, with the token that ends texts behind it. Throws `bad-option` where the tokenizer has none. */
const ended = (ids: Int32Array, eosId: number | undefined): Int32Array => {
  if (eosId === undefined)
    throw new PeftError('bad-option', 'the tokenizer names no token that ends a text (eos_token); give end: false');
  if (ids.at(-1) === eosId) return ids;
  const longer = new Int32Array(ids.length + 1);
  longer.set(ids);
  longer[ids.length] = eosId;
  return longer;
};

/** A row of which each token predicts the next, where that is learnt. */
const rowOf = (ids: Int32Array, isLearnt: (at: number) => boolean): ChatRow => {
  if (ids.length < 2)
    throw new PeftError('bad-data', `has ${ids.length} tokens; a row has at least one and one that is predicted`);
  const labels = ids.slice(1).map((id, t) => (isLearnt(t + 1) ? id : ignored));
  if (labels.every((label) => label === ignored))
    throw new PeftError('bad-data', 'has nothing to learn: no token of it is a completion; leave it out');
  return { ids: ids.slice(0, -1), labels };
};

/** How many tokens two texts begin with alike. */
const sharedCount = (a: Int32Array, b: Int32Array): number => {
  const most = Math.min(a.length, b.length);
  let count = 0;
  while (count < most && a[count] === b[count]) count++;
  return count;
};

const isText = (value: unknown): value is string => typeof value === 'string';

/**
 * Prompts and completions as rows of `ids` and `labels`: texts by a tokenizer, messages by a chat (which takes texts too). Both are written as one,
 * and what is learnt begins where its tokens are others than those of the prompt alone, as in TRL's SFTTrainer
 * (https://github.com/huggingface/trl, `tokenize_fn`). Throws `bad-data`, with the place, where nothing is to be learnt; `bad-option` for
 * messages without a chat, and for a tokenizer without a token that ends texts.
 */
export const completionRows = (
  codec: TextCodec | ChatCodec,
  options: CompletionRowOptions = {},
): Stage<CompletionItem, ChatRow> => {
  checkOptions('completionRows', rules, options);
  const { learn = 'completion', end = true } = options;
  const chat = 'encodeTurns' in codec ? codec : undefined;
  const tokenizer = 'encodeTurns' in codec ? codec.tokenizer : codec;
  const ofTexts = (prompt: string, completion: string): ChatRow => {
    if (learn === 'assistant')
      throw new PeftError('bad-option', 'completionRows: texts have no assistant; learn the completion or all');
    const whole = tokenizer.encode(prompt + completion);
    const from = learn === 'all' ? 0 : sharedCount(tokenizer.encode(prompt), whole);
    return rowOf(end ? ended(whole, tokenizer.eosId) : whole, (at) => at >= from);
  };
  const ofMessages = ({ prompt, completion, tools }: CompletionItem): ChatRow => {
    if (!chat)
      throw new PeftError(
        'bad-option',
        'completionRows: messages are written by a chat template; give `await loadChat(dir)`',
      );
    const how = tools ? { tools } : {};
    const [asked, answered] = [prompt, completion] as readonly (readonly ChatMessage[])[];
    const all = [...asked!, ...answered!];
    const { ids, assistant } =
      learn === 'assistant' ? chat.encodeTurns(all, how) : { ids: chat.encode(all, how), assistant: null };
    const before = learn === 'all' ? 0 : sharedCount(chat.encode(asked!, { ...how, generationPrompt: true }), ids);
    return rowOf(ids, (at) => at >= before && (!assistant || assistant[at] === 1));
  };
  return map((item: CompletionItem) => {
    const { prompt, completion } = item;
    if (isText(prompt) && isText(completion)) return ofTexts(prompt, completion);
    if (Array.isArray(prompt) && Array.isArray(completion)) return ofMessages(item);
    throw new PeftError(
      'bad-data',
      `has ${kindOf(prompt)} as prompt and ${kindOf(completion)} as completion; both are texts, or both messages`,
    );
  });
};

/** How texts become rows of their own. */
export interface TextRowOptions {
  /** Whether the token that ends texts comes last, so that the model learns to end. Default true. */
  readonly end?: boolean;
}

/**
 * Texts as rows of `ids` and `labels`, one a row, of which all is learnt; for rows without padding, `tokenize` and `pack`. Throws `bad-data`, with
 * the place, for texts without a token to predict; `bad-option` for a tokenizer without a token that ends texts.
 */
export const textRows = (tokenizer: TextCodec, options: TextRowOptions = {}): Stage<TextItem, ChatRow> => {
  checkOptions('textRows', { end: mustBe.flag }, options);
  const { end = true } = options;
  return map(({ text }: TextItem) => {
    const ids = tokenizer.encode(text);
    return rowOf(end ? ended(ids, tokenizer.eosId) : ids, () => true);
  });
};
