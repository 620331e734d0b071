import type { ChatMessage } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { kindOf } from '../words.ts';
import { type Fields, fromJson, isText, named, pairNamed } from './fields.ts';
import type { CompletionItem, JudgedItem, MessagesItem, PreferenceItem, Said } from './items.ts';
import type { Layout, LayoutOptions } from './layout.ts';
import { asMessages, isMessages, isSaid, messagesIn, saidIn, toolsIn } from './said.ts';

const conversations = ['messages', 'conversations', 'conversation'];

const systemIn = ({ system }: Fields): readonly ChatMessage[] =>
  isText(system) && system !== '' ? [{ role: 'system', content: system }] : [];

/** Turns before the last: pairs of what was asked and answered. */
const historyIn = ({ history }: Fields): readonly ChatMessage[] => {
  const turns = fromJson(history ?? []);
  if (!Array.isArray(turns) || !turns.every((turn) => Array.isArray(turn) && turn.length === 2 && turn.every(isText)))
    throw new PeftError('bad-data', `has ${kindOf(history)} as history; it is a list of pairs of texts`);
  return (turns as readonly (readonly [string, string])[]).flatMap(([asked, answered]) => [
    ...asMessages(asked, 'user'),
    ...asMessages(answered, 'assistant'),
  ]);
};

const extras = (fields: Fields): readonly string[] =>
  ['system', 'history', 'tools'].filter((name) => Object.hasOwn(fields, name));

/** A prompt and completions of it, all texts or all messages. */
const told = (
  fields: Fields,
  prompt: Said,
  completions: readonly Said[],
  { as }: LayoutOptions,
): { readonly prompt: Said; readonly completions: readonly Said[]; readonly tools?: readonly object[] } => {
  const before = [...systemIn(fields), ...historyIn(fields)];
  const tools = toolsIn(fields);
  const isChat = !isText(prompt) || completions.some((said) => !isText(said));
  if (as === 'text' && (isChat || before.length > 0 || tools.tools))
    throw new PeftError('bad-data', 'has messages, a system text, a history or tools, which are no plain text');
  if (!isChat && before.length === 0 && !tools.tools && as !== 'messages') return { prompt, completions };
  return {
    prompt: [...before, ...(prompt.length > 0 ? asMessages(prompt, 'user') : [])],
    completions: completions.map((said) => asMessages(said, 'assistant')),
    ...tools,
  };
};

export const messages: Layout<MessagesItem> = {
  needs: 'messages (or conversations): a list of { role, content } or { from, value }; tools where there are any',
  uses: (fields) => {
    const name = named(fields, conversations, isMessages);
    return name === undefined ? null : [name, ...extras(fields).filter((one) => one !== 'history')];
  },
  convert: (fields) => {
    const own = messagesIn(fields[named(fields, conversations, isMessages)!]);
    const hasSystem = own[0]?.role === 'system';
    return [{ messages: [...(hasSystem ? [] : systemIn(fields)), ...own], ...toolsIn(fields) }];
  },
};

const completionPairs = ['prompt', 'question', 'query'].flatMap((asked) =>
  ['completion', 'response', 'answer'].map((answered) => [asked, answered] as const),
);

/** The pair of an item's prompt and completion. A text that the question is about is none of it. */
const completionPair = (fields: Fields): readonly [string, string] | undefined =>
  Object.hasOwn(fields, 'context') ? undefined : pairNamed(fields, [...completionPairs, ['input', 'output']], isSaid);

export const completions: Layout<CompletionItem> = {
  needs: 'prompt (question, query) and completion (response, answer): texts or messages',
  uses: (fields) => {
    const pair = completionPair(fields);
    return pair ? [...pair, ...extras(fields)] : null;
  },
  convert: (fields, options) => {
    const [asked, answered] = completionPair(fields)!;
    const {
      prompt,
      completions: all,
      ...tools
    } = told(fields, saidIn(fields[asked]), [saidIn(fields[answered])], options);
    return [{ prompt, completion: all[0]!, ...tools }];
  },
};

/** The prompt that Stanford's Alpaca was trained with (Taori et al., 2023, https://github.com/tatsu-lab/stanford_alpaca, `PROMPT_DICT`). */
const alpacaPrompt = (instruction: string, input: string): string =>
  input === ''
    ? `Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n${instruction}\n\n### Response:`
    : `Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:`;

const instructed = [
  ['instruction', 'output'],
  ['instruction', 'response'],
] as const;

export const alpaca: Layout<CompletionItem> = {
  needs: 'instruction and output (response), and input (context) where there is one: texts',
  uses: (fields) => {
    const pair = pairNamed(fields, instructed, isText);
    const input = named(fields, ['input', 'context'], isText);
    return pair ? [...pair, ...(input === undefined ? [] : [input]), ...extras(fields)] : null;
  },
  convert: (fields, options) => {
    const [instruction, output] = pairNamed(fields, instructed, isText)!.map((name) => fields[name] as string);
    const name = named(fields, ['input', 'context'], isText);
    const input = name === undefined ? '' : (fields[name] as string);
    const hasMore = systemIn(fields).length + historyIn(fields).length > 0 || toolsIn(fields).tools !== undefined;
    const isChat = options.as === 'messages' || (options.as === undefined && hasMore);
    const asked = isChat
      ? [instruction!, input].filter((part) => part !== '').join('\n\n')
      : alpacaPrompt(instruction!, input);
    const {
      prompt,
      completions: all,
      ...tools
    } = told(fields, asked, [output!], isChat ? { as: 'messages' } : options);
    return [{ prompt, completion: all[0]!, ...tools }];
  },
};

const promptNames = ['prompt', 'question', 'instruction', 'conversations'];

/** Whether two messages are the same, in whatever order their fields are. */
const sameMessage = (a: ChatMessage | undefined, b: ChatMessage | undefined): boolean => {
  const sorted = (message: ChatMessage | undefined): string =>
    JSON.stringify(Object.entries(message ?? {}).sort(([x], [y]) => (x < y ? -1 : 1)));
  return sorted(a) === sorted(b);
};

/** The prompt that two completions begin with: the turns, or the words, that both share (as TRL's `extract_prompt`; of texts whole words). */
const shared = (chosen: Said, rejected: Said): number => {
  const most = Math.min(chosen.length, rejected.length);
  let count = 0;
  if (isText(chosen) || isText(rejected)) {
    if (!isText(chosen) || !isText(rejected)) return 0;
    while (count < most && chosen[count] === rejected[count]) count++;
    while (count > 0 && !/\s/.test(chosen[count - 1]!)) count--;
    while (count > 0 && /\s/.test(chosen[count - 1]!)) count--;
    return count;
  }
  while (count < most && sameMessage(chosen[count], rejected[count])) count++;
  return count;
};

export const preferences: Layout<PreferenceItem> = {
  needs: 'chosen and rejected, and prompt where they do not begin with it: texts or messages',
  uses: (fields) => {
    const prompt = named(fields, promptNames, isSaid);
    return pairNamed(fields, [['chosen', 'rejected']], isSaid)
      ? [...(prompt === undefined ? [] : [prompt]), 'chosen', 'rejected', ...extras(fields)]
      : null;
  },
  convert: (fields, options) => {
    const [chosen, rejected] = [saidIn(fields['chosen']), saidIn(fields['rejected'])];
    const name = named(fields, promptNames, isSaid);
    const given = name === undefined ? undefined : saidIn(fields[name]);
    // Conversations may begin with the prompt that stands beside them.
    const isRepeated =
      given !== undefined &&
      !isText(chosen) &&
      (isText(given) ? chosen[0]?.role !== 'assistant' : sameMessage(given[0], chosen[0]));
    const isTold = given !== undefined && !isRepeated;
    const at = isTold ? 0 : shared(chosen, rejected);
    if (!isTold && at === 0)
      throw new PeftError('bad-data', 'has no prompt, and chosen and rejected begin with nothing that both share');
    const cut = [chosen.slice(at), rejected.slice(at)];
    const empty = cut.findIndex((said) => said.length === 0);
    if (empty >= 0 || JSON.stringify(cut[0]) === JSON.stringify(cut[1]))
      throw new PeftError(
        'bad-data',
        empty >= 0
          ? `has nothing in ${empty === 0 ? 'chosen' : 'rejected'} after the prompt`
          : 'has the same text as chosen and rejected',
      );
    const { prompt, completions: all, ...tools } = told(fields, isTold ? given : chosen.slice(0, at), cut, options);
    return [{ prompt, chosen: all[0]!, rejected: all[1]!, ...tools }];
  },
};

const verdicts: Readonly<Record<string, boolean>> = { true: true, false: false, True: true, False: false };

const verdictName = (fields: Fields): string | undefined =>
  named(
    fields,
    ['label', 'kto_tag'],
    (value) => typeof value === 'boolean' || (isText(value) && Object.hasOwn(verdicts, value)),
  );

export const judged: Layout<JudgedItem> = {
  needs: 'prompt, completion, and label, which is true or false: whether it is good',
  uses: (fields) => {
    const [own, verdict] = [completions.uses(fields), verdictName(fields)];
    return own && verdict !== undefined ? [...own, verdict] : null;
  },
  convert: (fields, options) => {
    const verdict = fields[verdictName(fields)!];
    const label = typeof verdict === 'boolean' ? verdict : verdicts[verdict as string]!;
    return completions.convert(fields, options).map((item) => ({ ...item, label }));
  },
};
