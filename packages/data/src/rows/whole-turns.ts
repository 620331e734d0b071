import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import type { MessagesItem } from '../formats/items.ts';
import { map } from '../map.ts';
import type { Stage } from '../stream.ts';
import type { ChatCodec } from './said-rows.ts';

/** How conversations are shortened. */
export interface WholeTurnsOptions {
  /** Tokens that a conversation may have once it is written. */
  readonly context: number;
  /** Is told of each conversation that was shortened: how many messages it had, and how many are left. */
  readonly onLong: (cut: { readonly messages: number; readonly left: number }) => void;
}

const rules: Rules<WholeTurnsOptions> = {
  context: mustBe.given(mustBe.count),
  onLong: mustBe.given(mustBe.fn),
};

/**
 * Conversations of at most `context` tokens: the oldest turns go, each from what a user says to before what he says next; what the system says
 * at the beginning stays. Throws `bad-data`, with the place, where the last turn alone is longer.
 */
export const wholeTurns = (
  { encode }: Pick<ChatCodec, 'encode'>,
  options: WholeTurnsOptions,
): Stage<MessagesItem, MessagesItem> => {
  checkOptions('wholeTurns', rules, options);
  const { context, onLong } = options;
  return map((item: MessagesItem) => {
    const { messages, tools } = item;
    const turns = messages.flatMap(({ role }, i) => (role === 'user' ? [i] : []));
    const head = messages.slice(0, turns[0] ?? messages.length);
    // One token of a row is only predicted, so a row has one fewer.
    const size = (from: number): number =>
      encode([...head, ...messages.slice(from)], tools ? { tools } : {}).length - 1;
    for (const from of turns.length > 0 ? turns : [messages.length]) {
      const tokens = size(from);
      if (tokens > context && from === (turns.at(-1) ?? from))
        throw new PeftError(
          'bad-data',
          `has ${tokens} tokens in its last turn alone, and ${context} are allowed; shorten it, or allow more`,
        );
      if (tokens > context) continue;
      if (from === (turns[0] ?? from)) return item;
      const left = [...head, ...messages.slice(from)];
      onLong({ messages: messages.length, left: left.length });
      return { ...item, messages: left };
    }
    return item;
  });
};
