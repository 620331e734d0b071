import { PeftError } from '@peftjs/tensor';
import { ignored } from './ignored.ts';
import { map } from './map.ts';
import type { Row, Stage } from './stream.ts';
import { kindOf } from './words.ts';

/** The part of a model's config that is about its decoder: pass `model.config`. */
export interface DecoderStart {
  /** The token that every answer begins with. */
  readonly decoderStartId?: number | null;
  /** The token that stands where a label does not count. */
  readonly padId: number | null;
}

/**
 * Rows with `decoderIds`, what an encoder-decoder such as T5 reads while it learns to write `labels`: they are the labels one place to the right,
 * `decoderStartId` in front and the last one left out; −100 becomes `padId`. As transformers does where it is given labels alone
 * (`T5PreTrainedModel._shift_right`). Throws `bad-option` where the config names no such tokens, `bad-data` for rows without labels.
 */
export const shiftRight = ({ decoderStartId, padId }: DecoderStart): Stage<Row, Row> => {
  if (decoderStartId == null)
    throw new PeftError(
      'bad-option',
      'shiftRight: decoderStartId is missing, the token that answers begin with (decoder_start_token_id); give { decoderStartId: 0, padId: 0 }',
    );
  return map((row: Row) => {
    const { labels } = row;
    if (!(labels instanceof Int32Array))
      throw new PeftError('bad-data', `labels is ${kindOf(labels)} where shiftRight takes an Int32Array of tokens`);
    const decoderIds = new Int32Array(labels.length).fill(decoderStartId);
    for (let t = 1; t < labels.length; t++) {
      const before = labels[t - 1]!;
      if (before !== ignored) decoderIds[t] = before;
      else if (padId === null)
        throw new PeftError('bad-data', `labels[${t - 1}] is ${ignored}, and no padId says which token stands there`);
      else decoderIds[t] = padId;
    }
    return { ...row, decoderIds };
  });
};
