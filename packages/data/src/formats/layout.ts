import type { Fields } from './fields.ts';

/** How items are converted where there is a choice. */
export interface LayoutOptions {
  /** Whether prompts and completions that are texts stay texts, or become messages of user and assistant. Default: messages where there is a system text, a history or tools; else texts. */
  readonly as?: 'text' | 'messages';
}

/** A layout in which items of a format come. */
export interface Layout<T> {
  /** The fields that it needs, in words. */
  readonly needs: string;
  /** The names of the fields that it takes of an item; null where the item is not of it. */
  uses(fields: Fields): readonly string[] | null;
  /** A reason why an item that it takes could be meant in several ways. */
  doubt?(fields: Fields): string | null;
  /** The items that one makes. Throws `bad-data` for values that are wrong. */
  convert(fields: Fields, options: LayoutOptions): readonly T[];
}
