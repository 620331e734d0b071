import { type Batch, map, pipe, type Stream } from '@peftjs/data';
import { formatSeconds, shareBar } from '@peftjs/trainer';
import { type Context, count } from './context.ts';

/** How far something is that takes long. */
export interface Bar {
  /** So many are done. */
  tell(done: number): void;
  /** Takes it away. */
  end(): void;
}

/** Milliseconds until it is shown first, and between two looks of it. */
const [patience, pause] = [400, 100];

/** A rate with three digits: `12.5`, `1,250`. */
const rated = (rate: number): string => (rate >= 100 ? count(Math.round(rate)) : String(Number(rate.toPrecision(2))));

/**
 * The line of a bar in so many columns: the label, the bar, how many of how many, the time left, the rate; the last of them are left out first where there is no room. Without a total
 * there are no bar and no time left.
 */
export const barLine = (
  label: string,
  {
    done,
    total,
    seconds,
    unit,
  }: { readonly done: number; readonly total?: number; readonly seconds: number; readonly unit: string },
  columns: number,
): string => {
  const rate = seconds > 0 ? done / seconds : 0;
  const parts = [
    total === undefined ? `${count(done)} ${unit}` : `${count(done)}/${count(total)} ${unit}`,
    ...(total !== undefined && rate > 0 ? [`${formatSeconds(Math.max(0, total - done) / rate)} left`] : []),
    ...(rate > 0 ? [`${rated(rate)}/s`] : []),
  ];
  let line = label.slice(0, columns);
  const kept: string[] = [];
  for (const part of parts) {
    if (line.length + 2 + part.length > columns) break;
    kept.push(part);
    line = [label, ...kept].join('  ');
  }
  const room = Math.min(24, columns - line.length - 4);
  if (total === undefined || room < 8) return line;
  return [label, shareBar(done / Math.max(1, total), room - 2), ...kept].join('  ');
};

/** Shows how far something is on a terminal, in one line that is rewritten and taken away at its end; elsewhere nothing. What is over soon is not shown. */
export const bar = (
  { err }: Pick<Context, 'err'>,
  label: string,
  { unit, total }: { readonly unit: string; readonly total?: number },
): Bar => {
  const start = performance.now();
  let last = start + patience - pause;
  let isShown = false;
  return {
    tell: (done) => {
      const now = performance.now();
      if (!err.isTTY || now - last < pause) return;
      last = now;
      isShown = true;
      const own = { done, ...(total !== undefined && { total }), seconds: (now - start) / 1000, unit };
      // A line as long as the terminal is wide would break.
      err.write(`\r${barLine(label, own, Math.max(20, (err.columns ?? 80) - 1))}\u001b[K`);
    },
    end: () => {
      if (isShown) err.write('\r\u001b[K');
      isShown = false;
    },
  };
};

/**
 * Batches that tell on a bar how many of so many examples were taken from them, anew each time that all were: for measurements in between. Without a total, how many. `group`: rows of an
 * example.
 */
export const counted = (
  stream: Stream<Batch>,
  context: Pick<Context, 'err'>,
  label: string,
  { total, group = 1 }: { readonly total?: number; readonly group?: number },
): { readonly stream: Stream<Batch>; end(): void } => {
  let line: Bar | null = null;
  let done = 0;
  const end = (): void => {
    line?.end();
    line = null;
    done = 0;
  };
  const tell = (batch: Batch): Batch => {
    // The last of them ends with the batch that is measured, so it is taken away where the next begins.
    if (total !== undefined && done >= total) end();
    line ??= bar(context, label, { unit: 'examples', ...(total !== undefined && { total }) });
    line.tell(done);
    done += batch.rows / group;
    return batch;
  };
  return { stream: pipe(stream, map(tell)), end };
};
