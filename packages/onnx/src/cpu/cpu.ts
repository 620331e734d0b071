import { availableParallelism, cpus } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import {
  buildProgram,
  checkOptions,
  type Executable,
  type Executor,
  type Feeds,
  mustBe,
  PeftError,
  type Profile,
  type Program,
  type Rules,
  type Tensor,
  type TypedArray,
  type Variable,
} from '@peftjs/tensor';
import { checkFeeds, checkProgram, checkWrite, keepOnHost, readVariables, valueOwner } from '@peftjs/tensor/executor';
import { widen } from '../lower/emitter.ts';
import { remoteEngine } from '../remote-engine.ts';
import { type Arrays, localEngine } from './engine.ts';
import { explain } from './explain.ts';
import { checkMemory, neededFor } from './memory.ts';
import { profileOf } from './profile.ts';
import { hasFewRows, type Prepared, prepare } from './recipe.ts';
import { narrow } from './storage.ts';
import { Variables } from './variables.ts';

/** How to start the cpu executor. */
export interface CpuOptions {
  /** Threads that compute. Default: as many as the process may use. */
  readonly threads?: number;
  /** Bytes that a program may allocate; one that needs more is refused when it is compiled. Default: what the system has available then. */
  readonly memoryLimit?: number;
  /**
   * Compute in a process beside this one. The event loop then stays free while a program runs, and neither `process.exit` nor ending this
   * thread has to wait. It costs some tenths of a millisecond a run, and variables made from arrays are copied once. Default: false on the
   * main thread; always true in worker threads, whose end during a run would abort the whole process otherwise.
   */
  readonly worker?: boolean;
}

const rules: Rules<CpuOptions> = { threads: mustBe.count, memoryLimit: mustBe.bytes, worker: mustBe.flag };

const check = (options: CpuOptions): void =>
  checkOptions('cpu', rules, options, ({ worker }) =>
    worker === false && !isMainThread
      ? [
          'worker: false is for the main thread: ending a worker thread while it computes would abort the whole process; leave it out',
        ]
      : [],
  );

/** A program as its engine knows it. */
interface Opened {
  readonly number: number;
  /** Bytes of what its graph makes while it runs. */
  readonly scratch: number;
  run(feeds: Feeds, read: readonly string[]): Promise<Record<string, TypedArray>>;
  profile(feeds: Feeds): Promise<Profile>;
}

/**
 * The executor that runs programs on the processor, through onnxruntime-node, which is loaded here and not before, its telemetry off.
 * Variables live once, in arrays that all programs share; those in f16 as they are stored, and each product by one widens it first. Without
 * `worker` a run blocks the thread.
 * Throws `bad-option`, `device-unavailable`.
 */
export const cpu = async (options: CpuOptions = {}): Promise<Executor> => {
  check(options);
  const { threads = availableParallelism(), memoryLimit, worker = !isMainThread } = options;
  const limit = (): number => memoryLimit ?? process.availableMemory();
  const engine = await (worker ? remoteEngine : localEngine)(threads);
  const variables = new Variables(engine);
  const owner = valueOwner('cpu');
  const open = new Map<number, number>();
  /** A program that nobody can run any more is closed; its `run` holds what is registered here. */
  const dropped = new FinalizationRegistry<number>((number) => close(number));
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;
  let peak = 0;

  /** One thing after another: a run never sees a half-made update. */
  const serially = <T>(task: () => Promise<T>): Promise<T> => {
    const result = queue.then(() => {
      if (closed) throw new PeftError('bad-program', 'cpu: the executor is closed; make a new one');
      return task();
    });
    queue = result.catch(() => {});
    return result;
  };

  const isHeld = (v: Variable): boolean => variables.has(v);
  const prepareWith = (program: Program, packsBits: boolean): Promise<Prepared> =>
    prepare(program, (node) => variables.keyOf(node), packsBits);
  /** With packed matrices in the session where they have room there: twice in memory, for a tenth of the time. */
  const preparedOf = async (program: Program, packsBits: boolean): Promise<Prepared> => {
    if (packsBits && hasFewRows(program) && (await engine.multipliesBits())) {
      const prepared = await prepareWith(program, true);
      const { packedBytes, peak } = prepared;
      if (neededFor(program, { ...peak, bytes: peak.bytes + packedBytes }, isHeld) <= limit()) return prepared;
    }
    return prepareWith(program, false);
  };

  const openProgram = async (program: Program, packsBits = false): Promise<Opened & Pick<Executable, 'plan'>> => {
    const prepared = await preparedOf(program, packsBits);
    checkMemory(program, prepared.peak, isHeld, limit());
    const { plan, origins } = prepared;
    const recipe = prepared.recipe();
    const doubled = recipe.updates.flatMap(({ variable, inPlace }) => (inPlace ? [] : [variable]));
    const fail = (what: string) => (cause: unknown) => {
      throw explain(cause, what, origins);
    };
    const number = await engine.open(recipe).catch(fail('load'));
    const wide = (feeds: Feeds): Arrays =>
      Object.fromEntries(program.inputs.map(({ name, outs }) => [name, widen(outs[0]!.dtype, feeds[name]!)]));
    return {
      number,
      plan,
      scratch: prepared.peak.bytes + prepared.packedBytes,
      run: async (feeds, read) => {
        const results = await engine.run(number, wide(feeds), read).catch(fail('run'));
        variables.doubled(doubled);
        return Object.fromEntries(
          Object.entries(results).map(([name, data]) => [name, narrow(program.outputs.get(name)!.dtype, data)]),
        );
      },
      profile: async (feeds) => {
        // The engine keeps no model that it has opened, and nobody the graph: both are made anew.
        const again = await prepareWith(program, recipe.bits.length > 0);
        const times = await engine.profile(again.recipe(), wide(feeds)).catch(fail('profile'));
        variables.doubled(doubled);
        return profileOf(times, again.origins);
      },
    };
  };

  const evaluate = async (tensors: readonly Tensor[]): Promise<readonly TypedArray[]> => {
    const program = buildProgram({ outputs: Object.fromEntries(tensors.map((t, i) => [i, t])) });
    owner.check('an initial value', readVariables(program));
    await load(program.variables);
    const opened = await openProgram(program);
    try {
      const values = await opened.run({}, [...program.outputs.keys()]);
      return tensors.map((_, i) => values[i]!);
    } finally {
      engine.close(opened.number);
    }
  };
  const load = (wanted: Iterable<Variable>): Promise<void> => variables.load(wanted, evaluate);
  const held = (): number => variables.bytes + [...open.values()].reduce((n, scratch) => n + scratch, 0);

  const close = (number: number): void => {
    if (open.delete(number)) void serially(async () => engine.close(number)).catch(() => {});
  };

  const compile = async (program: Program): Promise<Executable> => {
    checkProgram('cpu', program);
    const opened = await serially(() => openProgram(program, true));
    const { number, plan } = opened;
    const reads = readVariables(program);
    open.set(number, opened.scratch);
    dropped.register(opened, number);
    /** A run of one kind or another, in its turn. */
    const running = <T>(who: string, feeds: Feeds, task: () => Promise<T>): Promise<T> =>
      serially(async () => {
        if (!open.has(number))
          throw new PeftError('bad-program', `${who}: the executable is closed; compile the program again`);
        checkFeeds(program, feeds);
        owner.check(`a ${who}`, reads);
        await load([...program.variables, ...program.updates.map(([v]) => v)]);
        const results = await task();
        owner.changed(program.updates.map(([v]) => v));
        peak = Math.max(peak, held());
        return results;
      });
    return {
      plan,
      ...keepOnHost([...program.outputs.keys()], (feeds, read) => running('run', feeds, () => opened.run(feeds, read))),
      profile: (feeds = {}) => running('profile', feeds, () => opened.profile(feeds)),
      close: () => close(number),
    };
  };

  return {
    name: 'cpu',
    description: `${cpus()[0]?.model.trim() ?? 'processor'}, ${threads} threads, ONNX Runtime`,
    compile,
    read: (v) =>
      serially(async () => {
        owner.check('read', [v]);
        await load([v]);
        return engine.get(variables.keyOf(v.node));
      }),
    write: (v, data) =>
      serially(async () => {
        checkWrite(v, data);
        await variables.write(v, data);
        owner.changed([v]);
      }),
    release: (list) => {
      const released = [...list];
      variables.release(released);
      owner.released(released);
    },
    memory: () => ({
      now: held(),
      peak: Math.max(peak, held()),
      byKind: {
        variables: variables.bytes,
        constants: 0,
        temporaries: held() - variables.bytes,
        parameters: 0,
        staging: 0,
      },
    }),
    close: async () => {
      if (closed) return;
      await serially(async () => {
        closed = true;
        open.clear();
        variables.clear();
        await engine.end();
      });
    },
  };
};
