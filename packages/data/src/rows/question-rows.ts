import type { Tokenizer } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { flatMap } from '../flat-map.ts';
import type { QuestionItem } from '../formats/items.ts';
import type { Row, Stage } from '../stream.ts';

/** How questions become rows. */
export interface QuestionRowOptions {
  /** Tokens of a row. Default 384. */
  readonly context?: number;
  /** Tokens that two windows of a longer text share. Default 128. */
  readonly stride?: number;
}

const rules: Rules<QuestionRowOptions> = { context: mustBe.count, stride: mustBe.whole };

/**
 * Questions about texts as rows of `ids`, `startPositions` and `endPositions` (the first and the last token of the first answer), and `tokenTypes`
 * where the tokenizer tells two texts apart. A longer text gives several rows, windows that share `stride` tokens; where the answer is not
 * whole in one, and where there is none, both places are 0, the token in front, as in transformers' examples (`run_qa.py`). `batch` is told of it:
 * `shapes: { startPositions: [], endPositions: [] }`. Throws `bad-data`, with the place, for questions that leave a text no room.
 */
export const questionRows = (
  { encode, locate, pair }: Pick<Tokenizer, 'encode' | 'locate' | 'pair'>,
  options: QuestionRowOptions = {},
): Stage<QuestionItem, Row> => {
  checkOptions('questionRows', rules, options);
  const { context: size = 384, stride = 128 } = options;
  const around = pair([], []).ids.length;
  return flatMap(({ question, context, answers }: QuestionItem): readonly Row[] => {
    const asked = encode(question.trimStart(), { special: false, readSpecial: false });
    const room = size - around - asked.length;
    if (room <= stride)
      throw new PeftError(
        'bad-data',
        `has ${asked.length} tokens in its question, which leaves ${Math.max(room, 0)} of ${size} for the text; windows that share ${stride} need more`,
      );
    const [answer] = answers;
    const bounds = answer ? [answer.start, answer.start + answer.text.length] : [];
    const { ids: told, places } = locate(context, bounds, { readSpecial: false });
    const [first, last] = answer ? [places[0]!.before, places[1]!.reached - 1] : [-1, -1];
    const rows: Row[] = [];
    for (let from = 0; ; from += room - stride) {
      const to = Math.min(from + room, told.length);
      const { ids, types, starts } = pair(asked, told.subarray(from, to));
      const isWhole = answer !== undefined && first >= from && last < to && first <= last;
      rows.push({
        ids,
        startPositions: Int32Array.of(isWhole ? starts[1] + first - from : 0),
        endPositions: Int32Array.of(isWhole ? starts[1] + last - from : 0),
        ...(types.some((type) => type > 0) && { tokenTypes: types }),
      });
      if (to === told.length) return rows;
    }
  });
};
