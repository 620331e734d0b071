import { convert, judged, pipe, preferences } from '@peftjs/data';
import { PeftError } from '@peftjs/tensor';
import { causalLM } from '@peftjs/transformer';
import { endOf, loadTexts } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import { type Conversation, conversation } from '../conversation.ts';
import { type Example, encodeExample } from '../data/encode-example.ts';
import { openItems } from '../data/open-items.ts';
import type { Lesson, Place } from './lesson.ts';
import { oneByOne } from './one-by-one.ts';
import { openFormat } from './texts.ts';

/** The objectives that learn from pairs, and those from verdicts. */
const [ofPairs, ofVerdicts] = [['dpo', 'orpo', 'cpo', 'simpo'], ['kto']] as const;

const isOneOf = (names: readonly string[], name: string | undefined): boolean =>
  name !== undefined && names.includes(name);

/** The lesson of a language model, and its conversations. */
export interface WritingLesson extends Lesson {
  readonly conversation: Conversation;
}

/** Learning to write: conversations, completions, texts; which answer is better, where the objective asks for that. Throws as `loadTokenizer`, `openRows`. */
export const writing = async ({ data, objective, task }: RunConfig, place: Place): Promise<WritingLesson> => {
  const tokenizer = await loadTexts(place);
  const end = await endOf(place, tokenizer);
  const told = await conversation(place.files, tokenizer, data.template);
  const source = data.as === 'text' ? tokenizer : told.chat;
  const all: Omit<WritingLesson, 'open' | 'encoder'> = {
    task: causalLM(),
    kept: task,
    conversation: told,
    group: 1,
    unit: 'token',
    lengths: ['ids', 'labels'],
    ending: null,
    batch: { mask: false },
    key: (item) => item,
  };
  const how = { ...(data.fields && { fields: data.fields }), as: data.as };
  if (isOneOf(ofPairs, objective?.name))
    return {
      ...all,
      group: 2,
      unit: 'pair',
      open: async (files) => {
        const { rows } = await openFormat(files, data, { who: objective!.name, takes: ['preferences'] });
        return pipe(rows, convert('preferences', how));
      },
      encoder: () => oneByOne(preferences(source)),
    };
  if (isOneOf(ofVerdicts, objective?.name))
    return {
      ...all,
      unit: 'example',
      batch: { mask: false, shapes: { desirable: [] } },
      open: async (files) => {
        const { rows } = await openFormat(files, data, { who: objective!.name, takes: ['judged'] });
        return pipe(rows, convert('judged', how));
      },
      encoder: () => oneByOne(judged(source)),
    };
  const encoder = { chat: told.chat, end, learn: data.learn };
  return {
    ...all,
    open: (files) => openItems(files, data),
    encoder: () => (item: Example) => [encodeExample(item, encoder)],
  };
};

/** Throws `bad-config` for an objective that is not of the task. */
export const checkObjective = ({ task, objective }: Pick<RunConfig, 'task' | 'objective'>): void => {
  const name = objective?.name;
  if (name === undefined || task.name === 'causalLM' || name === 'distillation') return;
  throw new PeftError(
    'bad-config',
    `objective ${name} is of the task causalLM, and the task is ${task.name}; leave one of them out`,
  );
};
