import type { ProfiledKernel } from '@peftjs/tensor';
import type { TaskProfile } from '../stacks/stack.ts';
import { align } from './align.ts';

/** Kernels of one name over all runs of all programs. */
export interface Timed extends Pick<ProfiledKernel, 'count' | 'ms' | 'flops' | 'bytes'> {
  readonly name: string;
}

type KeyOf = (kernel: ProfiledKernel) => string;

/** Kernels joined by a key, most time first. */
const joined = ({ profiles }: TaskProfile, keyOf: KeyOf): Timed[] => {
  const kernels = new Map<string, Timed>();
  for (const kernel of profiles.flatMap((p) => p.kernels)) {
    const name = keyOf(kernel);
    const { count, ms, flops, bytes } = kernels.get(name) ?? { count: 0, ms: 0, flops: 0, bytes: 0 };
    kernels.set(name, {
      name,
      count: count + kernel.count,
      ms: ms + kernel.ms,
      flops: flops + kernel.flops,
      bytes: bytes + kernel.bytes,
    });
  }
  return [...kernels.values()].sort((a, b) => b.ms - a.ms);
};

/** The kind of a kernel, as its name tells it before the sizes. */
const kindOf: KeyOf = ({ name }) => name.split('(')[0]!;

/** 10⁹ per second of an amount in some milliseconds. */
const giga = (amount: number, ms: number): string => (ms > 0 ? (amount / ms / 1e6).toFixed(2) : '-');

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const totalOf = ({ profiles }: TaskProfile): number => profiles.reduce((n, { ms }) => n + ms, 0);

const tableOf = (made: TaskProfile, keyOf: KeyOf, title: string): string => {
  const total = totalOf(made);
  const lines = joined(made, keyOf).map(({ name, count, ms, flops, bytes }) => [
    ms.toFixed(2),
    percent(ms / total),
    String(count),
    giga(flops, ms),
    flops > 0 && ms > 0 ? percent((flops * 1000) / ms / made.limit) : '-',
    giga(bytes, ms),
    name,
  ]);
  return align([['ms', 'share', 'times', 'GFLOP/s', 'of limit', 'GB/s', title], ...lines]);
};

/** Ops of the program, where the device can tell: else all is one. */
const opOf: KeyOf = ({ op }) => op ?? 'all';

/** Where the time of a task went on the device: by op of the program, by kind of kernel, by kernels of the same op and sizes; most time first. */
export const profileTable = (made: TaskProfile): string => {
  const kernels = made.profiles.flatMap((p) => p.kernels);
  const started = kernels.reduce((n, { count }) => n + count, 0);
  return [
    ...(kernels.some(({ op }) => op !== undefined) ? [tableOf(made, opOf, 'op')] : []),
    tableOf(made, kindOf, 'kind'),
    tableOf(made, ({ op, name }) => (op === undefined || op === name ? name : `${op}: ${name}`), 'kernel'),
    `${totalOf(made).toFixed(2)} ms in ${started} kernels; limit: ${(made.limit / 1e9).toFixed(1)} GFLOP/s`,
  ].join('\n\n');
};

/** A task's profile as it is kept: kernels with the ops that they are for, most time first. */
export interface ProfileRecord {
  readonly date: string;
  readonly task: string;
  readonly stack: string;
  readonly device: string;
  readonly ms: number;
  /** Operations a second of a large product. */
  readonly limit: number;
  readonly kernels: readonly (Timed & { readonly op: string | null; readonly ofLimit: number })[];
}

/** A profile as it is kept. */
export const profileRecord = (task: string, stack: string, device: string, made: TaskProfile): ProfileRecord => {
  const kernels = joined(made, ({ op = '', name }) => `${op}\n${name}`).map(({ name: key, ...timed }) => {
    const [op, name] = key.split('\n') as [string, string];
    return { op: op || null, name, ...timed, ofLimit: timed.ms > 0 ? (timed.flops * 1000) / timed.ms / made.limit : 0 };
  });
  return { date: new Date().toISOString(), task, stack, device, ms: totalOf(made), limit: made.limit, kernels };
};
