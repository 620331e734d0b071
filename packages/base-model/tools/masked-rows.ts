import type { Row } from '@peftjs/data';
import { randomSource } from '@peftjs/tensor';

/** Of the tokens that are to be told: shares that are hidden, and that are another token; the rest stays. */
const [hidden, other] = [0.8, 0.1];

/** How tokens are hidden. */
export interface Masking {
  /** The share of tokens that are to be told. */
  readonly share: number;
  readonly maskId: number;
  /** Tokens that stand in for others are below this. */
  readonly vocabSize: number;
  readonly firstId: number;
  readonly lastId: number;
}

/**
 * A row of tokens between the first and the last, some of which are to be told from the others: 80 % of these are hidden, 10 % are another token, 10 % stay. Labels are the
 * tokens that stood there, −100 elsewhere. The same for the same `seed` and `visit`. Devlin et al., 2018. https://arxiv.org/abs/1810.04805
 */
export function maskedRow(tokens: ArrayLike<number>, seed: number, visit: number, masking: Masking): Row {
  const { share, maskId, vocabSize, firstId, lastId } = masking;
  const random = randomSource(seed, `mask ${visit}`);
  const ids = Int32Array.of(firstId, ...Array.from(tokens), lastId);
  const labels = new Int32Array(ids.length).fill(-100);
  for (let at = 1; at + 1 < ids.length; at++) {
    if (random() >= share) continue;
    labels[at] = ids[at]!;
    const way = random();
    if (way < hidden) ids[at] = maskId;
    else if (way < hidden + other) ids[at] = Math.floor(random() * vocabSize);
  }
  return { ids, labels };
}
