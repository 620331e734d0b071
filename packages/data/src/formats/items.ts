import type { ChatMessage } from '@peftjs/io';

/** A text, or messages of a conversation. */
export type Said = string | readonly ChatMessage[];

/** A conversation, as `chat` takes it. */
export interface MessagesItem {
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly object[];
}

/** A prompt, and what is to be written after it: both texts, or both messages. */
export interface CompletionItem {
  readonly prompt: Said;
  readonly completion: Said;
  readonly tools?: readonly object[];
}

export interface TextItem {
  readonly text: string;
}

/** A text, or two, and its class: a name, a number, several of these (each class that it is of), or a number to be estimated. */
export interface LabelItem {
  readonly text: string;
  readonly pair?: string;
  readonly label: string | number | readonly (string | number)[];
}

/** Words, and the class of each: names or numbers. */
export interface TagItem {
  readonly tokens: readonly string[];
  readonly tags: readonly (string | number)[];
}

/** A question about a text, and where its answers stand there, in UTF-16 units; none where the text has none. */
export interface QuestionItem {
  readonly id?: string;
  readonly question: string;
  readonly context: string;
  readonly answers: readonly { readonly text: string; readonly start: number }[];
}

/** A text, and what it is to become. */
export interface TargetItem {
  readonly source: string;
  readonly target: string;
}

/** Two completions of a prompt, of which one is the better. */
export interface PreferenceItem {
  readonly prompt: Said;
  readonly chosen: Said;
  readonly rejected: Said;
  readonly tools?: readonly object[];
}

/** A completion of a prompt, and whether it is good. */
export interface JudgedItem extends CompletionItem {
  readonly label: boolean;
}

/** The formats of data, with the items that they are converted to. */
export interface ItemOf {
  messages: MessagesItem;
  completions: CompletionItem;
  alpaca: CompletionItem;
  text: TextItem;
  labels: LabelItem;
  tags: TagItem;
  questions: QuestionItem;
  targets: TargetItem;
  preferences: PreferenceItem;
  judged: JudgedItem;
}

/** The name of a format of data. */
export type DataFormat = keyof ItemOf;
