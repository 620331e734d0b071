import { captureErrors } from '../device/faults.ts';
import type { Trial } from '../kernel.ts';
import { tensorUsage, usage } from './buffers.ts';
import { prepareCommands } from './commands.ts';
import { type BoundCommand, bindCommands, encodeCommands } from './encode.ts';
import { commandLimits, type Host } from './host.ts';
import { timeCommands } from './profile.ts';
import type { DispatchStep } from './steps.ts';
import { scratch, storageBytes, type Value } from './values.ts';

/** Submissions that are timed; the shortest counts, since nothing makes work shorter than it is. */
const rounds = 3;
/** How long the runs in one submission are to take, in milliseconds, so that to start and to end it counts for little. */
const submissionMs = 3;
const maxRuns = 32;

/** Milliseconds of a submission by the clock of the host. */
const byClock = async ({ device }: Host, commands: readonly BoundCommand[]): Promise<number> => {
  const encoder = device.createCommandEncoder();
  encodeCommands(encoder, commands);
  const start = performance.now();
  device.queue.submit([encoder.finish()]);
  await device.queue.onSubmittedWorkDone();
  return performance.now() - start;
};

/** Milliseconds of a submission by the clock of the device, without what lies between kernels. */
const byTimestamps = async (host: Host, commands: readonly BoundCommand[]): Promise<number> => {
  const timing = timeCommands(host, commands);
  try {
    const encoder = host.device.createCommandEncoder();
    timing.encode(encoder);
    host.device.queue.submit([encoder.finish()]);
    return (await timing.collect()).ms;
  } finally {
    timing.close();
  }
};

const measure = async (host: Host, commands: readonly BoundCommand[]): Promise<number> => {
  const first = await byClock(host, commands);
  const runs = Math.max(1, Math.min(maxRuns, Math.round(submissionMs / first)));
  const repeated = Array.from({ length: runs }, () => commands).flat();
  const time = host.device.features.has('timestamp-query') ? byTimestamps : byClock;
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) best = Math.min(best, (await time(host, repeated)) / runs);
  return best;
};

/**
 * Milliseconds that a trial's kernels take on the device, over scratch memory of zeros that is given back; infinite where there is no room
 * for it. Throws what the device says against it.
 */
export const timeTrial = async (host: Host, { plan, buffers: sizes }: Trial): Promise<number> => {
  const { device, buffers, pipelines, options } = host;
  const named = Object.entries({ ...sizes, ...plan.temps });
  const values: Record<string, Value> = Object.fromEntries(named.map(([name, bytes]) => [name, scratch(name, bytes)]));
  const steps = plan.dispatches.map(
    (dispatch): DispatchStep => ({ kind: 'dispatch', label: 'trial', dispatch, values, flops: 0, inPlace: {} }),
  );
  const commands = await prepareCommands(steps, (value) => value, pipelines.get, commandLimits(host));
  const paramBytes = storageBytes(commands.params.length);
  const needed = Object.values(values).reduce((n, { bytes }) => n + bytes, paramBytes);
  const largest = Math.max(...Object.values(values).map(({ bytes }) => bytes));
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const room = (options.memoryLimit ?? Number.POSITIVE_INFINITY) - buffers.report().now;
  if (needed > room || largest > Math.min(maxBufferSize, maxStorageBufferBindingSize)) return Number.POSITIVE_INFINITY;

  const taken: GPUBuffer[] = [];
  const take = (kind: 'temporaries' | 'parameters', bytes: number, use: number): GPUBuffer => {
    taken.push(buffers.allocate(kind, 'trial', bytes, use));
    return taken.at(-1)!;
  };
  try {
    const { result: bound, done } = captureErrors(device, 'a trial', () => {
      const params = take('parameters', paramBytes, usage.uniform | usage.copyTarget);
      device.queue.writeBuffer(params, 0, commands.params);
      const places = new Map(
        Object.values(values).map((value) => [
          value,
          { buffer: take('temporaries', value.bytes, tensorUsage), offset: 0 },
        ]),
      );
      const detour = (): never => {
        throw new Error('a trial copies nothing');
      };
      return bindCommands(device, commands, { placeOf: (value) => places.get(value)!, params, detour }).flat();
    });
    await done;
    return await measure(host, bound);
  } finally {
    for (const buffer of taken) buffers.free(buffer);
  }
};
