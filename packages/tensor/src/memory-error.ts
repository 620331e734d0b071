import { PeftError } from './error.ts';
import type { PlannedTensor } from './executor.ts';

/** Bytes for people. */
export const mebibytes = (bytes: number): string => {
  const size = bytes / 2 ** 20;
  return `${(size < 10 ? Math.ceil(size * 10) / 10 : Math.ceil(size)).toLocaleString('en-US')} MiB`;
};

const named = 3;

const sumOf = (tensors: readonly PlannedTensor[]): number => tensors.reduce((n, t) => n + t.bytes, 0);

/** `400 MiB of variables (a 100 MiB, b 90 MiB, c 20 MiB, 12 more)` */
const partOf = (words: string, tensors: readonly PlannedTensor[]): string => {
  const largest = [...tensors].sort((a, b) => b.bytes - a.bytes);
  const names = largest.slice(0, named).map((t) => `${t.name} ${mebibytes(t.bytes)}`);
  const rest = largest.length > named ? [`${(largest.length - named).toLocaleString('en-US')} more`] : [];
  return `${mebibytes(sumOf(tensors))} of ${words} (${[...names, ...rest].join(', ')})`;
};

const remedies = {
  values: 'a smaller batch, shorter sequences, or checkpointing, which computes the values inside a block again',
  variables: 'a quantised base model, a smaller adapter, or a smaller model',
};

/** What does not fit: who asks, how much there is, and for what. */
export interface MemoryShortage {
  /** The executor. */
  readonly who: string;
  readonly needed: number;
  /** Bytes that are there, where that is known. */
  readonly available?: number;
  /** What the device had no memory for, where it was asked. */
  readonly refused?: string;
  /** What the memory is needed for. */
  readonly tensors: readonly PlannedTensor[];
  readonly cause?: unknown;
}

/** The error of a program that does not fit: how much it needs, for which tensors, and what would make it fit. */
export const memoryError = ({ who, needed, available, refused, tensors, cause }: MemoryShortage): PeftError => {
  const variables = tensors.filter((t) => t.kind === 'variable');
  const values = tensors.filter((t) => t.kind !== 'variable');
  const parts = [
    ...(variables.length > 0 ? [partOf('variables', variables)] : []),
    ...(values.length > 0 ? [partOf('intermediate values', values)] : []),
  ];
  const order =
    sumOf(values) >= sumOf(variables) ? (['values', 'variables'] as const) : (['variables', 'values'] as const);
  const there =
    available === undefined
      ? `the device has less, and none for ${refused ?? 'the rest'}`
      : `${mebibytes(available)} are available`;
  return new PeftError(
    'out-of-memory',
    `${who}: the program needs ${mebibytes(needed)} of memory, ${there}: ${parts.join(' and ')}. ` +
      `To make it fit use ${order.map((kind) => remedies[kind]).join('; or ')}.`,
    cause === undefined ? {} : { cause },
  );
};
