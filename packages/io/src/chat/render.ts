import { Template } from '@huggingface/jinja';
import { PeftError } from '@peftjs/tensor';
import { isObject } from '../json.ts';
import { reasonOf } from '../report.ts';
import type { ChatMessage } from './chat.ts';

/** A conversation as text, and places in it. */
export interface Written {
  readonly text: string;
  /** Where no special token may reach over, since a user spelt it out. */
  readonly apart: readonly number[];
  /** Spans that the template marks as the assistant's; null where it has no `{% generation %}`. */
  readonly spans: readonly (readonly [start: number, end: number])[] | null;
}

/** How a conversation is written. */
export interface RenderOptions {
  readonly generationPrompt: boolean;
  readonly readSpecial: boolean;
}

/** Writes messages by a template with the variables given. */
export type Render = (
  source: string,
  messages: readonly ChatMessage[],
  variables: Readonly<Record<string, unknown>>,
  options: RenderOptions,
) => Written;

const tag = /\{%(-?)\s*(end)?generation\s*(-?)%\}/g;
const [beginName, endName] = ['generation_begins_here', 'generation_ends_here'];

/** A template with one kind of line breaks, as Jinja reads it, and whose generation blocks write marks around what they hold; spaces around their tags are kept or dropped as before. */
const marked = (source: string): string =>
  source
    .replace(/\r\n?/g, '\n')
    .replace(tag, (_, left: string, ends: string | undefined, right: string) =>
      ends
        ? `{%${left} endif %}{{ ${endName} }}{% endif ${right}%}`
        : `{%${left} if true %}{{ ${beginName} }}{% if true ${right}%}`,
    );

/** Names that a message's reasoning goes by; templates read the first, some the second. Source: transformers, `chat_template_utils.py`. */
const reasoning = ['reasoning_content', 'thinking', 'reasoning'] as const;

const withReasoning = (message: Record<string, unknown>): Record<string, unknown> => {
  const name = reasoning.find((field) => message[field] !== undefined);
  return name === undefined ? message : { thinking: message[name], ...message, reasoning_content: message[name] };
};

/** A message without what is null, as transformers has it: templates know a missing field. */
const tidy = (message: ChatMessage): Record<string, unknown> =>
  withReasoning(
    Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null && value !== undefined)),
  );

/** Values with each text changed. */
const eachText = (value: unknown, change: (text: string) => string): unknown => {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((one) => eachText(one, change));
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, eachText(v, change)]));
  return value;
};

/** Characters of private use that occur nowhere in the texts, so that nobody can forge a mark. */
const unused = (count: number, texts: string): readonly string[] => {
  const found: string[] = [];
  for (let code = 0xe000; code <= 0xf8ff && found.length < count; code++) {
    const char = String.fromCharCode(code);
    if (!texts.includes(char)) found.push(char);
  }
  if (found.length < count) throw new PeftError('bad-option', 'chat: the messages hold all characters of private use.');
  return found;
};

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Takes the marks out of a text, and tells where they were. */
const unmarked = (text: string, [apart, begin, end]: readonly string[], hasSpans: boolean): Written => {
  const [places, spans]: [number[], [number, number][]] = [[], []];
  let out = '';
  const open: number[] = [];
  for (const piece of text.split(new RegExp(`([${apart}${begin}${end}])`))) {
    if (piece === apart) places.push(out.length);
    else if (piece === begin) open.push(out.length);
    else if (piece === end) spans.push([open.pop()!, out.length]);
    else out += piece;
  }
  return { text: out, apart: places, spans: hasSpans ? spans : null };
};

/** The renderer of a folder's templates; `who` is named in errors, `specials` are the tokens that users can't write. */
export const renderer = (who: string, specials: readonly string[]): Render => {
  const compiled = new Map<string, Template>();
  const compile = (source: string): Template => {
    const known = compiled.get(source);
    if (known) return known;
    try {
      const made = new Template(marked(source));
      compiled.set(source, made);
      return made;
    } catch (cause) {
      throw new PeftError(
        'bad-tokenizer',
        `${who}: its chat template is no Jinja that can be read: ${reasonOf(cause).slice(0, 300)}. Correct it, or give loadChat another one.`,
        { cause },
      );
    }
  };
  // The longest first, so that all of a token is seen.
  const longestFirst = specials.filter((s) => s.length > 1).sort((a, b) => b.length - a.length);
  const spelt = longestFirst.length > 0 ? new RegExp(longestFirst.map(escaped).join('|'), 'gu') : null;

  const rendered = (template: Template, given: Readonly<Record<string, unknown>>): string => {
    try {
      return template.render(given);
    } catch (cause) {
      throw new PeftError(
        'bad-option',
        `${who}: its chat template refuses these messages: ${reasonOf(cause).slice(0, 300)}. Give what it asks for, or another template.`,
        { cause },
      );
    }
  };

  return (source, messages, variables, { generationPrompt, readSpecial }) => {
    const template = compile(source);
    const { tools, documents, ...others } = variables;
    const theirs = { messages: messages.map(tidy), tools, documents };
    const marks = unused(3, source + JSON.stringify([theirs, others]));
    const [apart, begin, end] = marks;
    const write = (given: typeof theirs): Written => {
      const all = { ...others, ...given, add_generation_prompt: generationPrompt };
      const text = rendered(template, { ...all, [beginName]: begin, [endName]: end });
      return unmarked(text, marks, source.search(tag) >= 0);
    };
    const plain = write(theirs);
    if (readSpecial || !spelt) return plain;
    const given = eachText(theirs, (text) => text.replace(spelt, (token) => [...token].join(apart)));
    const told = write(given as typeof theirs);
    if (told.text === plain.text) return told;
    throw new PeftError(
      'bad-option',
      `${who}: the messages spell out special tokens, and its chat template takes them apart so that they can't be told from its own. Leave them out, or have them read: { readSpecial: true }.`,
    );
  };
};
