import { type Init, normal, type Option } from '@peftjs/core';
import { PeftError, type Random, type Tensor } from '@peftjs/tensor';
import { type Model, tokenTableOf } from '@peftjs/transformer';

/** Token ids whose rows are the first values: repeated or cut to as many as are needed. */
export interface TextInit {
  readonly text: ArrayLike<number>;
}

/** Where rows start: at noise, at tokens drawn from the vocabulary, or at those of a text. */
export type RowInit = 'random' | 'vocabulary' | TextInit;

const isIds = (ids: unknown): boolean =>
  (Array.isArray(ids) || ArrayBuffer.isView(ids)) &&
  (ids as unknown as ArrayLike<number>).length > 0 &&
  Array.from(ids as unknown as ArrayLike<number>).every((id) => Number.isSafeInteger(id) && id >= 0);

/** Whether a value is a `TextInit`. */
export const isTextInit = (v: unknown): v is TextInit =>
  typeof v === 'object' && v !== null && isIds((v as TextInit).text);

/** Refuses ids that the model does not have. Throws `bad-option`. */
export const checkIds = (what: string, ids: ArrayLike<number>, model: Model): void => {
  const vocabSize = tokenTableOf(model, model.towers[0], what).rows;
  const foreign = Array.from(ids).filter((id) => id >= vocabSize);
  if (foreign.length > 0)
    throw new PeftError(
      'bad-option',
      `${what} has tokens ${foreign.join(', ')}, the vocabulary is 0 to ${vocabSize - 1}`,
    );
};

/** More rows than any text has tokens: a file may say any number, and nothing of that size is made. */
const most = 2 ** 24;

const idsOf = (init: 'vocabulary' | TextInit, model: Model, tokens: number, random: Random): Int32Array => {
  if (tokens > most)
    throw new PeftError(
      'bad-option',
      `prompt: ${tokens} rows are more than any text has tokens; give a smaller number`,
    );
  const vocabSize = tokenTableOf(model, model.main, 'prompt').rows;
  if (init === 'vocabulary') return Int32Array.from({ length: tokens }, () => Math.floor(random() * vocabSize));
  const { text } = init;
  checkIds('init: text', text, model);
  return Int32Array.from({ length: tokens }, (_, i) => text[i % text.length]!);
};

/** First values of rows: N(0, 1), or what `fromIds` makes of as many token ids. Throws `bad-option` for ids that the model does not have. */
export const initOf = (init: RowInit, model: Model, tokens: number, fromIds: (ids: Int32Array) => Tensor): Init =>
  init === 'random' ? normal(1) : { graph: (random) => fromIds(idsOf(init, model, tokens, random)) };

/** The option of first rows, as Hugging Face PEFT's prompts have it. */
export const rowInit: Option<RowInit> = {
  key: 'prompt_tuning_init',
  fallback: () => 'vocabulary',
  expected: "'random', 'vocabulary' or { text: token ids }",
  accepts: (v) => v === 'random' || v === 'vocabulary' || isTextInit(v),
  // For TEXT Hugging Face PEFT asks for a tokenizer again, even to load values that are there.
  toJson: (init) => (init === 'vocabulary' ? 'SAMPLE_VOCAB' : 'RANDOM'),
  fromJson: (init) => (init === 'SAMPLE_VOCAB' ? 'vocabulary' : 'random'),
};
