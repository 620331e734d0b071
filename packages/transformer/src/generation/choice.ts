import type { TypedArray } from '@peftjs/tensor';
import type { LogitsProcessor } from './processors.ts';
import type { Prompt } from './prompts.ts';

/** Outputs of a pass by name. */
export type Results = Readonly<Record<string, TypedArray>>;

/** The passes of one stream. */
export interface Passes {
  /** Reads the prompts; an entry for each. */
  first(read: readonly string[]): Promise<Results>;
  /** Reads the new tokens number `step`, one for each row; `source`: the row that each goes on from, where rows of a prompt are several. */
  next(step: number, ids: Int32Array, read: readonly string[], source?: Int32Array): Promise<Results>;
}

/** How the next token is chosen, and what ends a text. */
export interface Choice {
  readonly vocabSize: number;
  /** The beginning of each prompt's text. */
  readonly texts: readonly Prompt[];
  /** New tokens of a text, at most. */
  readonly limit: number;
  readonly stop: ReadonlySet<number>;
  readonly processors: readonly LogitsProcessor[];
  /** Whether a row's new tokens end it. */
  readonly isEnded: (tokens: readonly number[]) => boolean;
}

/** One new token. */
export interface GeneratedToken {
  /** Of which prompt. */
  readonly row: number;
  readonly token: number;
}
