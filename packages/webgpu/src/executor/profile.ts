import { PeftError, type Profile, type ProfiledKernel } from '@peftjs/tensor';
import { usage } from './buffers.ts';
import { type BoundCommand, encodeTimed } from './encode.ts';
import type { Host } from './host.ts';
import { byLabel } from './plan.ts';
import { mapToRead } from './transfer.ts';

/** Queries in one set, at most: WebGPU's limit. */
const setSize = 4096;

type Launch = Extract<BoundCommand, { kind: 'launch' }>;

/** Records a run with timestamps around every launch, and reads them. */
export interface Timing {
  encode(encoder: GPUCommandEncoder): void;
  /** To be called once the run is submitted. */
  collect(): Promise<Profile>;
  close(): void;
}

const joinTimes = (launches: readonly Launch[], times: readonly number[]): Profile => {
  const ms = times.reduce((a, b) => a + b, 0);
  const perKind = new Map<string, number>();
  for (const [i, { label }] of launches.entries()) perKind.set(label, (perKind.get(label) ?? 0) + times[i]!);
  const rate = (n: number, time: number): number => (time > 0 ? (n * 1000) / time : 0);
  const kernels = byLabel(launches).map((kernel): ProfiledKernel => {
    const own = perKind.get(kernel.name)!;
    return {
      ...kernel,
      ms: own,
      share: ms > 0 ? own / ms : 0,
      flopsPerSecond: rate(kernel.flops, own),
      bytesPerSecond: rate(kernel.bytes, own),
    };
  });
  return { ms, kernels: kernels.sort((a, b) => b.ms - a.ms) };
};

/** Throws `device-unavailable` where the adapter has no timestamps. */
export const checkTimestamps = ({ device, gpu }: Host): void => {
  if (device.features.has('timestamp-query')) return;
  throw new PeftError(
    'device-unavailable',
    `profile: ${gpu.description} gives no timestamps (timestamp-query); measure whole runs, or profile on another adapter`,
  );
};

/** The timing of one run of commands. */
export const timeCommands = ({ device, buffers }: Host, commands: readonly BoundCommand[]): Timing => {
  const launches = commands.filter((c) => c.kind === 'launch');
  const bytes = Math.max(16, 16 * launches.length);
  const sets = Array.from({ length: Math.ceil((2 * launches.length) / setSize) }, (_, i) => {
    const count = Math.min(setSize, 2 * launches.length - i * setSize);
    return device.createQuerySet({ type: 'timestamp', count });
  });
  const resolved = buffers.allocate('staging', 'timestamps', bytes, usage.queries | usage.copySource);
  const staging = buffers.allocate('staging', 'timestamps', bytes, usage.mapRead | usage.copyTarget);
  return {
    encode: (encoder) => {
      encodeTimed(encoder, commands, (i) => ({ set: sets[Math.floor((2 * i) / setSize)]!, first: (2 * i) % setSize }));
      for (const [i, set] of sets.entries()) encoder.resolveQuerySet(set, 0, set.count, resolved, 8 * setSize * i);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    },
    collect: async () => {
      await mapToRead(device, staging, bytes);
      const stamps = new BigUint64Array(staging.getMappedRange(0, bytes).slice(0));
      const times = launches.map((_, i) => Math.max(0, Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6));
      return joinTimes(launches, times);
    },
    close: () => {
      buffers.free(resolved);
      buffers.free(staging);
      for (const set of sets) set.destroy();
    },
  };
};
