import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import type { Place } from '../files/files.ts';
import { filesAt } from '../files/place.ts';
import { loadTokenizer, type Tokenizer } from '../tokenizer.ts';
import { assistantMask } from './assistant-mask.ts';
import type { Written } from './render.ts';
import { chosen, templatesIn } from './templates.ts';

/** One message of a conversation; templates may read further fields, such as `tool_calls`. */
export interface ChatMessage {
  /** Who speaks: `system`, `user`, `assistant`, `tool`. */
  readonly role: string;
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

/** How a conversation is written. */
export interface ChatOptions {
  /** Whether what opens the assistant's next message comes last, for the model to go on from. Default false. */
  readonly generationPrompt?: boolean;
  /** The tools that the model may call, as JSON schemas. */
  readonly tools?: readonly object[];
  /** Texts that the model may draw upon, where the template has a place for them. */
  readonly documents?: readonly object[];
  /** The name of one of several templates. Default: `tool_use` with tools, where there is one; else `default`. */
  readonly template?: string;
  /** Further variables of the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /**
   * Whether special tokens that are spelt out in messages, tools and documents become those tokens, as transformers has it by default. Without
   * it nobody can end his turn and speak as another by what he writes. Default false.
   */
  readonly readSpecial?: boolean;
}

/** Ids of a conversation, and which of them the assistant says. */
export interface ChatTokens {
  readonly ids: Int32Array;
  /** 1 for each token of what the assistant says, the end of its turn included; 0 for all others. */
  readonly assistant: Uint8Array;
}

/** The conversations of a model: its chat templates and its tokenizer. */
export interface Chat {
  /** Names of the templates; one alone is `default`. */
  readonly templates: readonly string[];
  readonly tokenizer: Tokenizer;
  /** A conversation as text. Throws `bad-option` where the template refuses it, `bad-tokenizer` where the template is at fault. */
  text(messages: readonly ChatMessage[], options?: ChatOptions): string;
  /** The ids of that text. Throws as `text`, and `bad-data` as the tokenizer does. */
  encode(messages: readonly ChatMessage[], options?: ChatOptions): Int32Array;
  /**
   * Ids, and which of them the assistant says: what the template marks with `{% generation %}`; where it marks nothing, what each message of
   * the assistant adds to the text before it and the opening of its turn, up to the special token that ends it. Throws as `encode`;
   * `bad-option` where the template writes earlier messages in another way once a later one is there, so that this can't be told.
   */
  encodeTurns(messages: readonly ChatMessage[], options?: ChatOptions): ChatTokens;
}

/** Options of `loadChat`. */
export interface LoadChatOptions {
  /** Default: that of the folder. */
  readonly tokenizer?: Tokenizer;
  /** A template in Jinja in place of the folder's. */
  readonly template?: string;
}

const loadRules: Rules<LoadChatOptions> = { tokenizer: mustBe.object, template: mustBe.text };

const objects = mustBe.such(
  'a list of objects',
  (v) => Array.isArray(v) && v.every((one) => typeof one === 'object' && one !== null),
);

const rules: Rules<ChatOptions> = {
  generationPrompt: mustBe.flag,
  tools: objects,
  documents: objects,
  template: mustBe.text,
  variables: mustBe.object,
  readSpecial: mustBe.flag,
};

const checkChat = (messages: readonly ChatMessage[], options: ChatOptions): void => {
  checkOptions('chat', rules, options);
  const problem = !Array.isArray(messages)
    ? 'they are no list'
    : messages.length === 0
      ? 'there is none'
      : messages.map((m) => typeof m?.role !== 'string').includes(true) &&
        `message ${messages.findIndex((m) => typeof m?.role !== 'string')} has no role`;
  if (problem)
    throw new PeftError('bad-option', `chat: messages must be a list of { role, content }, at least one; ${problem}.`);
};

/**
 * Reads the chat templates of a Hugging Face model folder, and its tokenizer: `chat_template.jinja`, `additional_chat_templates`, or
 * `chat_template` of `tokenizer_config.json`. They run in @huggingface/jinja, which gives them no access to anything else; a template that
 * loops for long can't be stopped, so take folders from where you trust.
 *
 * Throws `PeftError`: `file-missing`; `bad-tokenizer`, also where the folder has no chat template.
 */
export const loadChat = async (dir: Place, options: LoadChatOptions = {}): Promise<Chat> => {
  checkOptions('loadChat', loadRules, options);
  const files = await filesAt(dir);
  const { templates, specials } = await templatesIn(files, options.template);
  const tokenizer = options.tokenizer ?? (await loadTokenizer(files));
  const { renderer } = await import('./render.ts');
  const render = renderer(files.name, tokenizer.specials);

  const write = (messages: readonly ChatMessage[], options: ChatOptions): Written => {
    const { template, tools, documents, generationPrompt = false, readSpecial = false, variables = {} } = options;
    const source = chosen(templates, template, tools !== undefined, files.name);
    const given = { ...specials, ...variables, tools: tools ?? null, documents: documents ?? null };
    return render(source, messages, given, { generationPrompt, readSpecial });
  };
  return {
    templates: [...templates.keys()],
    tokenizer,
    text: (messages, options = {}) => {
      checkChat(messages, options);
      return write(messages, options).text;
    },
    encode: (messages, options = {}) => {
      checkChat(messages, options);
      const { text, apart } = write(messages, options);
      return tokenizer.encode(text, { special: false, apart });
    },
    encodeTurns: (messages, options = {}) => {
      checkChat(messages, options);
      return assistantMask(tokenizer, messages, (some, prompt) =>
        write(some, { ...options, generationPrompt: prompt ?? options.generationPrompt ?? false }),
      );
    },
  };
};
