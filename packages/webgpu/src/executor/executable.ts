import { type Executable, type Feeds, PeftError, type Program } from '@peftjs/tensor';
import { checkFeeds, checkNames, namesToRead } from '@peftjs/tensor/executor';
import { captureErrors } from '../device/faults.ts';
import { type Bound, boundCommands } from './bound.ts';
import { encodeCommands, findRejected } from './encode.ts';
import type { Host } from './host.ts';
import { describeRun } from './plan.ts';
import { makePoison } from './poison.ts';
import { type Prepared, prepareProgram } from './prepared.ts';
import { checkTimestamps, timeCommands } from './profile.ts';
import { type Result, readback } from './readback.ts';
import { type Entry, makeRing } from './ring.ts';
import { explained } from './shortage.ts';
import { writeBuffer } from './transfer.ts';

const resultsOf = ({ outputs, placeOf }: Prepared, names: readonly string[]): Result[] => {
  checkNames(outputs.keys(), names);
  return [...new Set(names)].map((name) => {
    const { tensor, value } = outputs.get(name)!;
    return { name, tensor, place: placeOf(value) };
  });
};

const writeFeeds = (
  queue: GPUQueue,
  { program, schedule: { table, resolve, slotOf }, placeOf }: Prepared,
  feeds: Feeds,
): void => {
  for (const node of program.inputs) {
    const value = resolve(table.ofInput(node));
    if (slotOf(value) !== undefined) writeBuffer(queue, placeOf(value), feeds[node.name]!);
  }
};

/** Compiles a program on a host. Its runs must not overlap with others of the host. */
export const compileProgram = async (host: Host, program: Program): Promise<Required<Executable>> => {
  const { gpu, device, buffers, submissions, options } = host;
  const prepared = await prepareProgram(host, program);
  const back = readback(device, buffers);
  const ring = makeRing(device, buffers);
  const poison = options.poison ? makePoison(device, buffers, Math.max(16, ...prepared.schedule.memory.buffers)) : null;
  const bound = boundCommands(host, prepared, poison);
  let closed = false;
  const close = (): void => {
    closed = true;
    bound.close();
    prepared.memory.close();
    back.close();
    ring.close();
    poison?.close();
  };

  try {
    // Bind groups are made now, so that what they get wrong is known before the first run.
    await explained(program, prepared.plan, bound.current);
    if (poison) submit({ run: [], tail: prepared.memory.slots.map((slot) => poison.fill(slot)) }, []);
  } catch (error) {
    close();
    throw error;
  }

  /** Records and submits a run; gives its place among what is kept. */
  function submit(
    { run, tail }: Bound,
    results: readonly Result[],
    kept: readonly Result[] | null = null,
  ): Entry | null {
    const encoder = device.createCommandEncoder();
    encodeCommands(encoder, run);
    back.encode(encoder, results);
    const entry = kept && ring.encode(encoder, kept);
    encodeCommands(encoder, tail);
    device.queue.submit([encoder.finish()]);
    return entry;
  }

  /** The needs of a run: checked feeds, and commands over variables where they are now. */
  const begin = async (feeds: Feeds): Promise<Bound> => {
    if (closed) throw new PeftError('bad-program', 'run: this executable is closed; compile the program again');
    gpu.check();
    submissions.check();
    checkFeeds(program, feeds);
    return explained(program, prepared.plan, bound.current);
  };

  /** Writes feeds and submits; the promise rejects with what the device has to say against it. */
  const start = <T>(
    feeds: Feeds,
    commands: Bound,
    record: () => T,
  ): { readonly result: T; readonly done: Promise<void> } => {
    const run = (): string => describeRun(prepared.plan);
    const culprit = async (): Promise<string> =>
      (await findRejected(device, [...commands.run, ...commands.tail])) ?? run();
    gpu.note(run);
    return captureErrors(device, culprit, () => {
      writeFeeds(device.queue, prepared, feeds);
      return record();
    });
  };

  return {
    plan: prepared.plan,
    close,
    run: async (feeds = {}, options = {}) => {
      const commands = await begin(feeds);
      const results = resultsOf(prepared, namesToRead(prepared.outputs.keys(), options));
      const kept = options.keep ? resultsOf(prepared, options.keep) : null;
      if (kept && ring.isFull(kept)) await ring.collect();
      const { result: entry, done } = start(feeds, commands, () => submit(commands, results, kept));
      if (entry)
        done.catch(() => {
          entry.refused = true;
        });
      if (results.length === 0) {
        await submissions.add(done);
        return {};
      }
      const [errors, values] = await Promise.allSettled([done, back.collect(results)]);
      gpu.check();
      await submissions.settle();
      if (errors.status === 'rejected') {
        back.close();
        throw errors.reason;
      }
      if (values.status === 'rejected')
        throw new PeftError('device-error', 'webgpu: the results of a run could not be read', { cause: values.reason });
      return values.value;
    },
    kept: async () => {
      gpu.check();
      const [collected, settled] = await Promise.allSettled([ring.collect(), submissions.settle()]);
      // Why runs were refused explains what could not be read of them.
      for (const outcome of [settled, collected]) if (outcome.status === 'rejected') throw outcome.reason;
      return ring.take();
    },
    profile: async (feeds = {}) => {
      checkTimestamps(host);
      const commands = await begin(feeds);
      await submissions.settle();
      const { result: timing, done } = captureErrors(device, 'timestamps of a run', () =>
        timeCommands(host, [...commands.run, ...commands.tail]),
      );
      try {
        await done;
        await start(feeds, commands, () => {
          const encoder = device.createCommandEncoder();
          timing.encode(encoder);
          device.queue.submit([encoder.finish()]);
        }).done;
        return await timing.collect();
      } finally {
        timing.close();
      }
    },
  };
};
