import type { Tokenizer } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { TargetItem } from '../formats/items.ts';
import { map } from '../map.ts';
import type { Stage } from '../stream.ts';

/** A row of an encoder-decoder: the tokens that it reads, and those that it is to write. */
export type TargetRow = { readonly ids: Int32Array; readonly labels: Int32Array };

/**
 * Texts and what they are to become as rows of `ids` and `labels`, both with the tokens that the model expects around a text; `shiftRight` adds
 * `decoderIds`. Throws `bad-data`, with the place, for targets without a token.
 */
export const targetRows = ({ encode }: Pick<Tokenizer, 'encode'>): Stage<TargetItem, TargetRow> =>
  map(({ source, target }: TargetItem) => {
    const [ids, labels] = [encode(source), encode(target)];
    if (ids.length > 0 && labels.length > 0) return { ids, labels };
    throw new PeftError(
      'bad-data',
      `has ${ids.length} tokens as source and ${labels.length} as target; each has at least one`,
    );
  });
