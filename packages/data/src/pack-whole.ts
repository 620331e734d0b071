import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { bestFit } from './best-fit.ts';
import type { Row, Stage } from './stream.ts';
import { windowed } from './windowed.ts';

/** How whole documents are packed. */
export interface PackWholeOptions {
  /** Tokens that a row may have. */
  readonly context: number;
  /** Documents that are in memory and are fitted together. Default 1,000. */
  readonly window?: number;
  /** Is told of each window that was packed. */
  readonly onPacked?: (packed: PackedWindow) => void;
}

/** Documents that were packed. */
export interface PackedWindow {
  readonly documents: number;
  readonly rows: number;
  readonly tokens: number;
  /** The share of rows of `context` tokens that is left empty, from 0 to 1. */
  readonly padding: number;
}

/** Several documents in a row: `documents` has the number of each token's, from 1 on. */
export type WholeRow = { readonly ids: Int32Array; readonly labels: Int32Array; readonly documents: Int32Array };

const rules: Rules<PackWholeOptions> = {
  context: mustBe.given(mustBe.count),
  window: mustBe.count,
  onPacked: mustBe.fn,
};

const stage = 'packWhole';

const checkRow = ({ ids, labels, ...others }: Row, context: number): void => {
  const names = Object.keys(others);
  const refuse = (problem: string): never => {
    throw new PeftError('bad-data', problem);
  };
  if (names.length > 0) refuse(`has ${names.join(', ')}, and packWhole joins rows of ids and labels; leave it out`);
  if (!(ids instanceof Int32Array) || !(labels instanceof Int32Array) || ids.length !== labels.length)
    refuse('has not ids and labels, two Int32Arrays as long as each other; `textRows` and `completionRows` make them');
  if (ids!.length > context)
    refuse(
      `has ${ids!.length} tokens, a row takes ${context}; \`atMost\` before it refuses or cuts such, or allow more`,
    );
  if (ids!.length === 0) refuse('has no token');
};

/** Rows one after the other, as one. */
const joined = (rows: readonly Row[]): WholeRow => {
  const size = rows.reduce((sum, { ids }) => sum + ids!.length, 0);
  const [ids, labels, documents] = [new Int32Array(size), new Int32Array(size), new Int32Array(size)];
  let at = 0;
  for (const [i, row] of rows.entries()) {
    ids.set(row['ids']!, at);
    labels.set(row['labels']!, at);
    documents.fill(i + 1, at, (at += row['ids']!.length));
  }
  return { ids, labels, documents };
};

/**
 * Whole documents, rows of `ids` and `labels`, several in a row of at most `context` tokens, so that little is left empty: of each window of
 * documents the longest first, each where it fits best. `documents` keeps them apart: with it a decoder gives each what it gives it alone. A cursor
 * says where the window begins, so resuming reads at most one window again. Throws `bad-data`, with the place, for rows that are longer.
 */
export const packWhole = (options: PackWholeOptions): Stage<Row, WholeRow> => {
  checkOptions(stage, rules, options);
  const { context, window = 1000, onPacked } = options;
  return windowed({
    stage,
    size: window,
    made: { context },
    check: (row) => checkRow(row, context),
    arrange: (rows) => {
      const lengths = rows.map(({ ids }) => ids!.length);
      const bins = bestFit(lengths, context);
      const tokens = lengths.reduce((a, b) => a + b, 0);
      onPacked?.({ documents: rows.length, rows: bins.length, tokens, padding: 1 - tokens / (bins.length * context) });
      return bins;
    },
    make: joined,
  });
};
