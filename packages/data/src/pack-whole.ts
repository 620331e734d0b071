import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { bestFit } from './best-fit.ts';
import { changed, checkCursor, countIn, cursorOf, inputIn } from './cursor.ts';
import { located } from './map.ts';
import { end, item, opened, originOf } from './opened.ts';
import type { Cursor, Origin, Row, Stage } from './stream.ts';

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
  const made = { context, window };
  return (input) => ({
    open: (at, epoch) => {
      const checked = at && checkCursor(stage, made, at);
      let skip = checked ? countIn(stage, checked, 'taken') : 0;
      let start: Cursor | null = checked ? inputIn(stage, checked) : null;
      const from = input.open(start ?? undefined, epoch);
      let bins: readonly (readonly number[])[] = [];
      let rows: Row[] = [];
      let origins: Origin[] = [];
      let origin: Origin = async () => 'the start';
      let [taken, count] = [0, 0];

      const fill = async (): Promise<void> => {
        await from.begin?.();
        start = from.cursor();
        [rows, origins] = [[], []];
        while (rows.length < window) {
          const next = await from.next();
          if (next.done) break;
          const own = originOf(from, count++);
          try {
            checkRow(next.value, context);
          } catch (cause) {
            throw await located(own, cause);
          }
          rows.push(next.value);
          origins.push(own);
        }
        const lengths = rows.map(({ ids }) => ids!.length);
        bins = bestFit(lengths, context);
        if (skip > 0 && skip >= bins.length) throw changed(stage);
        [taken, skip] = [skip, 0];
        const tokens = lengths.reduce((a, b) => a + b, 0);
        if (rows.length > 0)
          onPacked?.({
            documents: rows.length,
            rows: bins.length,
            tokens,
            padding: 1 - tokens / (bins.length * context),
          });
      };
      return opened<WholeRow>({
        next: async () => {
          if (taken >= bins.length) await fill();
          const bin = bins[taken];
          if (!bin) return end;
          taken++;
          const places = bin.map((i) => origins[i]!);
          origin = async (part = 0) => (places[part] ?? places[0]!)();
          return item(joined(bin.map((i) => rows[i]!)));
        },
        cursor: () =>
          taken < bins.length
            ? cursorOf(stage, made, { input: start, taken })
            : cursorOf(stage, made, { input: skip > 0 ? start : from.cursor(), taken: skip }),
        begin: async () => from.begin?.(),
        origin: () => origin,
        close: async () => from.return?.(),
      });
    },
  });
};
