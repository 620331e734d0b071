import type { Tensor } from '@peftjs/tensor';
import type { Call } from './pass.ts';
import type { Path } from './sites.ts';
import type { Pair } from './tasks/task.ts';

/**
 * Named inputs of a pass. Of text: `ids` i32 [batch, tokens] and `mask` f32 [batch, keys], 1 to keep a token as a key, 0 to hide it (absent:
 * all are kept; keys are the pass's tokens, or the cache's slots); `tokenTypes`; of a decoder beside an encoder `decoderIds`, `decoderMask`. Of a
 * decoder alone `documents` i32 [batch, tokens]: tokens of one number are a text of their own, see no others, and begin at position 0.
 * Of pictures `pixels` f32 [batch, channels, height, width]; beside texts (CLIP) there may be more or fewer of them than of the texts.
 * Tasks add labels, methods what they ask for (`task`).
 */
export type Inputs = Readonly<Record<string, Tensor>>;

/** The result of a pass: what each tower gives, [batch, tokens, d]. */
export interface States {
  /** Of the tower that the task reads: the decoder, where there is one. */
  readonly main: Tensor;
  /** Without an encoder's where the pass continues a cache: it ran in the first; and without those of towers side by side whose inputs were not given. */
  readonly byTower: ReadonlyMap<string, Tensor>;
  /** As `main`, with the rows that methods put in front: [batch, rows, d]. */
  readonly rows: Tensor;
  /** Vectors of pictures and of texts in one space, where the model compares them; null where it does not. */
  pair(): Pair | null;
  /** The call of a layer that comes after the towers, such as a head; `tower` is the one whose states it reads, by default the main one. */
  call(path: Path, tower?: string): Call;
}
