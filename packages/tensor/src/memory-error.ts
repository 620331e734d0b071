import type { PlannedTensor } from './compile.ts';
import { PeftError } from './error.ts';
import { mebibytes } from './mebibytes.ts';
import { adviceFor, type Shortage } from './memory-advice.ts';

const named = 3;

const sumOf = (tensors: readonly PlannedTensor[]): number => tensors.reduce((n, t) => n + t.bytes, 0);

/** `400 MiB of variables (a 100 MiB, b 90 MiB, c 20 MiB, 12 more)` */
const partOf = (words: string, tensors: readonly PlannedTensor[]): string => {
  const largest = [...tensors].sort((a, b) => b.bytes - a.bytes);
  const names = largest.slice(0, named).map((t) => `${t.name} ${mebibytes(t.bytes)}`);
  const rest = largest.length > named ? [`${(largest.length - named).toLocaleString('en-US')} more`] : [];
  return `${mebibytes(sumOf(tensors))} of ${words} (${[...names, ...rest].join(', ')})`;
};

/** The request that does not fit: who asks, how much there is, and for what. */
export interface MemoryShortage extends Shortage {
  /** The executor. */
  readonly who: string;
  /** The request that the device had no memory for, where it was asked. */
  readonly refused?: string;
  readonly cause?: unknown;
}

/** The error of a program that does not fit: how much it needs, for which tensors, and what would make it fit. */
export const memoryError = ({ who, refused, cause, ...shortage }: MemoryShortage): PeftError => {
  const { needed, available, tensors } = shortage;
  const variables = tensors.filter((t) => t.kind === 'variable');
  const values = tensors.filter((t) => t.kind !== 'variable');
  const parts = [
    ...(variables.length > 0 ? [partOf('variables', variables)] : []),
    ...(values.length > 0 ? [partOf('intermediate values', values)] : []),
  ];
  const there =
    available === undefined
      ? `the device has less, and none for ${refused ?? 'the rest'}`
      : `${mebibytes(available)} are available`;
  return new PeftError(
    'out-of-memory',
    `${who}: the program needs ${mebibytes(needed)} of memory, ${there}: ${parts.join(' and ')}. ` +
      `To make it fit use ${adviceFor(shortage)}.`,
    cause === undefined ? {} : { cause },
  );
};
