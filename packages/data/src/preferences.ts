import { checkOptions, mustBe } from '@peftjs/tensor';
import { type AnswerOptions, type AnswerRow, type AnswerSource, answerRow, answerRules, answersOf } from './answers.ts';
import { flatMap } from './flat-map.ts';
import type { Row, Stage } from './stream.ts';

/** How pairs become rows. */
export interface PreferencesOptions extends AnswerOptions {
  /** Whether rows have labels, and so lack the last token, which has none; a reward model reads all tokens, and no labels. Default true. */
  readonly labels?: boolean;
}

const sides = ['chosen', 'rejected'] as const;

/**
 * Pairs, `{ prompt, chosen, rejected }`, as two rows of `ids` and `labels` that follow one another, the chosen one first: what `dpo` and its kin read. Labels are of
 * the answers alone. With what `loadChat` gives, prompt and answers are texts or lists of messages, and `{ chosen, rejected }` of whole conversations
 * have their common beginning for a prompt; with a tokenizer they are texts, joined as they are and ended by its end of text.
 *
 * Shuffle before this stage, and give `batch` an even size. Throws `bad-data`, with the place, for what is no pair, and where nothing of an answer is left to judge.
 */
export const preferences: {
  (
    source: AnswerSource,
    options: PreferencesOptions & { readonly labels: false },
  ): Stage<unknown, Pick<AnswerRow, 'ids'>>;
  (source: AnswerSource, options?: PreferencesOptions): Stage<unknown, AnswerRow>;
} = (source: AnswerSource, options: PreferencesOptions = {}): Stage<unknown, never> => {
  checkOptions('preferences', { ...answerRules, labels: mustBe.flag }, options);
  const { context = Number.POSITIVE_INFINITY, labels = true, ...how } = options;
  const answers = answersOf(source, how);
  return flatMap((value: unknown): readonly Row[] =>
    answers(value, sides).map((answer, i) =>
      labels
        ? answerRow(answer, sides[i]!, context)
        : { ids: answer.ids.slice(0, Math.min(answer.ids.length, context)) },
    ),
  ) as Stage<unknown, never>;
};
