/** A piece of a text, and whether the text begins with it. */
export interface Piece {
  readonly text: string;
  readonly isFirst: boolean;
}

/** The fate of the separators by which a text is split. */
export type Behavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous';

export const behaviors: readonly Behavior[] = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
];

interface Span {
  start: number;
  end: number;
  readonly isMatch: boolean;
}

/** Source: huggingface/tokenizers, `NormalizedString::split`. */
const joined = (spans: readonly Span[], behavior: Behavior): readonly Span[] => {
  if (behavior === 'Isolated') return spans;
  if (behavior === 'Removed') return spans.filter(({ isMatch }) => !isMatch);
  const out: Span[] = [];
  const backwards = behavior === 'MergedWithNext';
  let wasMatch = false;
  for (const span of backwards ? [...spans].reverse() : spans) {
    const { isMatch } = span;
    const last = out.at(-1);
    const merges = behavior === 'Contiguous' ? isMatch === wasMatch : isMatch && !wasMatch;
    if (!merges || !last) out.push({ ...span });
    else if (backwards) last.start = span.start;
    else last.end = span.end;
    wasMatch = isMatch;
  }
  return backwards ? out.reverse() : out;
};

/** Splits a piece where something is found in it, or with `inverted` where nothing is. */
export const split = (
  { text, isFirst }: Piece,
  found: Iterable<readonly [start: number, end: number]>,
  behavior: Behavior,
  inverted = false,
): Piece[] => {
  const spans: Span[] = [];
  let at = 0;
  for (const [start, end] of found) {
    if (at < start) spans.push({ start: at, end: start, isMatch: inverted });
    spans.push({ start, end, isMatch: !inverted });
    at = end;
  }
  if (at < text.length) spans.push({ start: at, end: text.length, isMatch: inverted });
  return joined(spans, behavior)
    .filter(({ start, end }) => start < end)
    .map(({ start, end }) => ({ text: text.slice(start, end), isFirst: isFirst && start === 0 }));
};
