import type { Values } from '../agreement.ts';

/**
 * Parent and child speak in lines. The child says `ready` when the task is set up; `run N S` on its standard input makes it run N times, or
 * until S seconds have passed, and answer with `done`; the end of its input ends it. Lines without the mark are a library's own words.
 */
export const mark = '#bench ';

/** The first line of a child. */
export interface Ready {
  readonly type: 'ready';
  readonly device: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** The answer to `run`. */
export interface Done {
  readonly type: 'done';
  /** Of each run. */
  readonly ms: readonly number[];
  /** The results of the first five runs. */
  readonly values: readonly Values[];
  /** The most memory that the process has had resident, in bytes. */
  readonly peakBytes: number;
  /** The memory that the stack itself counts. */
  readonly memory?: Readonly<Record<string, number>>;
}

/** The message of a line; null for a library's own words. */
export const parseLine = (text: string): Ready | Done | null =>
  text.startsWith(mark) ? (JSON.parse(text.slice(mark.length)) as Ready | Done) : null;
