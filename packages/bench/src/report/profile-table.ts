import type { Profile, ProfiledKernel } from '@peftjs/tensor';
import { align } from './align.ts';

/** A kernel over all runs of all programs. */
type Timed = Pick<ProfiledKernel, 'count' | 'ms' | 'flops' | 'bytes'>;

const joined = (profiles: readonly Profile[]): Map<string, Timed> => {
  const kernels = new Map<string, Timed>();
  for (const { name, count, ms, flops, bytes } of profiles.flatMap((p) => p.kernels)) {
    const timed = kernels.get(name) ?? { count: 0, ms: 0, flops: 0, bytes: 0 };
    kernels.set(name, {
      count: timed.count + count,
      ms: timed.ms + ms,
      flops: timed.flops + flops,
      bytes: timed.bytes + bytes,
    });
  }
  return kernels;
};

/** 10⁹ per second of an amount in some milliseconds. */
const giga = (amount: number, ms: number): string => (ms > 0 ? (amount / ms / 1e6).toFixed(2) : '-');

/** Where the time of a task went on the device: kernels of the same op and shapes on a line, most time first. */
export const profileTable = (profiles: readonly Profile[]): string => {
  const total = profiles.reduce((n, { ms }) => n + ms, 0);
  const kernels = joined(profiles);
  const lines = [...kernels]
    .sort(([, a], [, b]) => b.ms - a.ms)
    .map(([name, { count, ms, flops, bytes }]) => [
      ms.toFixed(2),
      `${((100 * ms) / total).toFixed(1)} %`,
      String(count),
      giga(flops, ms),
      giga(bytes, ms),
      name,
    ]);
  const started = [...kernels.values()].reduce((n, { count }) => n + count, 0);
  return `${align([['ms', 'share', 'times', 'GFLOP/s', 'GB/s', 'kernel'], ...lines])}\n${total.toFixed(2)} ms in ${started} kernels`;
};
