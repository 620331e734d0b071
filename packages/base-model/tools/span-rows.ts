import type { Row } from '@peftjs/data';
import { type Random, randomSource } from '@peftjs/tensor';

/** How spans of a text are hidden. */
export interface Spans {
  /** The share of tokens that are hidden. */
  readonly share: number;
  /** The mean length of a span. */
  readonly length: number;
  /** The token that stands for the first span; those of others follow it. */
  readonly firstSentinel: number;
  readonly endId: number;
  /** The token that the decoder begins with. */
  readonly startId: number;
}

/** What the decoder is to write: the hidden spans, or the whole text. */
export type Written = 'spans' | 'text';

/** `total` as a sum of `parts` counts of at least one, all sums as likely. */
const parted = (total: number, parts: number, random: Random): number[] => {
  const cuts = new Set<number>();
  while (cuts.size < parts - 1) cuts.add(1 + Math.floor(random() * (total - 1)));
  const ends = [...cuts, total].sort((a, b) => a - b);
  return ends.map((end, i) => end - (ends[i - 1] ?? 0));
};

/**
 * A row of an encoder-decoder: the encoder reads a text of which spans are hidden, one token for each, and the decoder writes the spans, each behind its token, or the whole
 * text. As many tokens and spans are hidden in every text of a length, so all rows are as long. `spare` leaves the labels of the spans' own tokens and of the end out. The
 * same for the same `seed` and `visit`. Raffel et al., 2019, the objectives "replace corrupted spans" and "BERT-style" of its table 3. https://arxiv.org/abs/1910.10683
 */
export function spanRow(
  tokens: ArrayLike<number>,
  seed: number,
  visit: number,
  written: Written,
  { share, length, firstSentinel, endId, startId }: Spans,
  spare = false,
): Row {
  const random = randomSource(seed, `spans ${visit}`);
  const all = Array.from(tokens);
  const hidden = Math.round(all.length * share);
  const count = Math.max(1, Math.round(hidden / length));
  const [seen, unseen] = [parted(all.length - hidden, count, random), parted(hidden, count, random)];
  const ids: number[] = [];
  const spans: number[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    ids.push(...all.slice(at, at + seen[i]!), firstSentinel + i);
    at += seen[i]!;
    spans.push(firstSentinel + i, ...all.slice(at, at + unseen[i]!));
    at += unseen[i]!;
  }
  const answer = [...(written === 'spans' ? spans : all), endId];
  return {
    ids: Int32Array.of(...ids, endId),
    decoderIds: Int32Array.of(startId, ...answer.slice(0, -1)),
    labels: Int32Array.from(answer, (id) => (spare && (id >= firstSentinel || id === endId) ? -100 : id)),
  };
}
