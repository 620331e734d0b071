import type { Chat, ChatMessage, ChatOptions } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { ignored } from './ignored.ts';
import { map } from './map.ts';
import type { Stage } from './stream.ts';
import { kindOf } from './words.ts';

/** How conversations become rows. */
export interface ChatStageOptions extends Omit<ChatOptions, 'generationPrompt' | 'tools' | 'documents'> {
  /** The field with the messages. Default `messages`. An item that is a list is the messages itself. */
  readonly field?: string;
  /** Which tokens are learnt: what the assistant says, the end of its turn included; what it says last; or all. Default `assistant`. */
  readonly learn?: 'assistant' | 'last' | 'all';
}

const rules: Rules<ChatStageOptions> = {
  field: mustBe.text,
  learn: mustBe.oneOf(['assistant', 'last', 'all']),
  template: mustBe.text,
  variables: mustBe.object,
  readSpecial: mustBe.flag,
};

/** A row of tokens and of those that they are to predict; −100 where nothing is learnt. */
export type ChatRow = { readonly ids: Int32Array; readonly labels: Int32Array };

/** The beginning of the last run of ones. */
const lastRun = (flags: Uint8Array): number => flags.lastIndexOf(0, flags.lastIndexOf(1)) + 1;

/**
 * Conversations, `{ messages, tools?, documents? }`, as rows of `ids` and `labels`, written by a model's chat template: `labels[t]` is the token
 * after `ids[t]` where it is learnt. Throws `bad-data`, with the place, for what is no conversation or has nothing to learn.
 */
export const chat = (
  { encode, encodeTurns }: Pick<Chat, 'encode' | 'encodeTurns'>,
  options: ChatStageOptions = {},
): Stage<unknown, ChatRow> => {
  checkOptions('chat', rules, options);
  const { field = 'messages', learn = 'assistant', ...how } = options;
  return map((value: unknown) => {
    const item = (Array.isArray(value) ? { [field]: value } : value) as Readonly<Record<string, unknown>> | null;
    const messages = typeof item === 'object' && item !== null ? item[field] : undefined;
    if (!Array.isArray(messages))
      throw new PeftError(
        'bad-data',
        `has ${kindOf(messages)} as ${field} where messages are to be written; name their field with \`field\``,
      );
    const { tools, documents } = item as Pick<ChatOptions, 'tools' | 'documents'>;
    const all = { ...how, ...(tools && { tools }), ...(documents && { documents }) };
    const said = messages as readonly ChatMessage[];
    const { ids, assistant } = learn === 'all' ? { ids: encode(said, all), assistant: null } : encodeTurns(said, all);
    const from = assistant && learn === 'last' ? lastRun(assistant) : 0;
    const labels = ids.slice(1).map((id, t) => (!assistant || (t + 1 >= from && assistant[t + 1]) ? id : ignored));
    if (labels.every((label) => label === ignored))
      throw new PeftError(
        'bad-data',
        `has no message of the assistant to learn in ${field}; leave it out, or learn all`,
      );
    return { ids: ids.slice(0, -1), labels };
  });
};
