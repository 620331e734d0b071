import { checkOptions, PeftError } from '@peftjs/tensor';
import { type AnswerOptions, type AnswerRow, type AnswerSource, answerRow, answerRules, answersOf } from './answers.ts';
import { map } from './map.ts';
import type { Stage } from './stream.ts';
import { kindOf } from './words.ts';

/** A prompt, an answer, and 1 where it is good, 0 where it is bad. */
export type JudgedRow = AnswerRow & { readonly desirable: Float32Array };

/**
 * Answers with a verdict, `{ prompt, completion, label }`, as rows of `ids`, `labels` and `desirable`, 1 where `label` is true and 0 where it is false: what `kto`
 * reads, after `batch` and `mismatched`. Prompts and completions as those of `preferences`. Throws `bad-data`, with the place.
 */
export const judged = (source: AnswerSource, options: AnswerOptions = {}): Stage<unknown, JudgedRow> => {
  checkOptions('judged', answerRules, options);
  const { context = Number.POSITIVE_INFINITY, ...how } = options;
  const answers = answersOf(source, how);
  return map((value: unknown) => {
    const [answer] = answers(value, ['completion']);
    const { label } = value as { readonly label?: unknown };
    if (typeof label !== 'boolean')
      throw new PeftError(
        'bad-data',
        `has ${kindOf(label)} as label, which says whether the completion is good: true or false`,
      );
    return { ...answerRow(answer!, 'completion', context), desirable: Float32Array.of(label ? 1 : 0) };
  });
};
