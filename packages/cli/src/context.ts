import type { ProgressStream } from '@peftjs/trainer';
import { say } from './terminal.ts';

/** Where a command writes, and how. */
export interface Context {
  /** Results. */
  readonly out: ProgressStream;
  /** Progress, and errors. */
  readonly err: ProgressStream;
  /** Whether the result is one line of JSON. */
  readonly json: boolean;
  /** Lines that a person says. Default: stdin. */
  readonly input?: NodeJS.ReadableStream;
  /** Ends a long command after its step. */
  readonly signal?: AbortSignal;
}

/** Writes a result: as JSON where that was asked for, else as text for people. */
export const result = ({ out, json }: Context, value: unknown, text: string): void => {
  if (json) out.write(`${JSON.stringify(value)}\n`);
  else say(out, text.endsWith('\n') ? text : `${text}\n`);
};

/** `12,345`. */
export const count = (n: number): string => n.toLocaleString('en-US');

/** `1.23 GB`, `45 kB`. */
export const bytes = (n: number): string => {
  const [unit, size] = ([
    ['TB', 1e12],
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3],
  ].find(([, s]) => n >= (s as number)) as [string, number] | undefined) ?? ['bytes', 1];
  return `${size === 1 ? n : (n / size).toPrecision(3)} ${unit}`;
};
