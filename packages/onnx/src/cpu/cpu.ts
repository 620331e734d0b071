import { availableParallelism, cpus } from 'node:os';
import {
  buildProgram,
  type Executable,
  type Executor,
  PeftError,
  type Program,
  type Tensor,
  type TypedArray,
  type Variable,
} from '@peftjs/tensor';
import { checkFeeds, checkWrite, keepOnHost } from '@peftjs/tensor/executor';
import { type Prepared, prepare } from './executable.ts';
import { loadRuntime } from './session.ts';
import { narrow, Storage } from './storage.ts';

/** How to start the cpu executor. */
export interface CpuOptions {
  /** Threads that compute. Default: as many as the process may use. */
  readonly threads?: number;
  /** Bytes that a program may allocate; one that needs more is refused when it is compiled. Default: what the system has available then. */
  readonly memoryLimit?: number;
}

const checkThreads = (threads: number): number => {
  if (Number.isSafeInteger(threads) && threads > 0) return threads;
  throw new PeftError('bad-option', `cpu: threads must be a positive integer, got ${threads}`);
};

const checkLimit = (memoryLimit: number | undefined): (() => number) => {
  if (memoryLimit === undefined) return () => process.availableMemory();
  if (memoryLimit > 0) return () => memoryLimit;
  throw new PeftError('bad-option', `cpu: memoryLimit must be a positive number of bytes, got ${memoryLimit}`);
};

/**
 * The executor that runs programs on the processor, through onnxruntime-node, which is loaded here and not before.
 * Variables live once, in arrays of this process that all programs share; f16 variables are held as f32, since the CPU computes in f32.
 * Throws `bad-option`, `device-unavailable`.
 */
export const cpu = async (options: CpuOptions = {}): Promise<Executor> => {
  const threads = checkThreads(options.threads ?? availableParallelism());
  const limit = checkLimit(options.memoryLimit);
  const runtime = await loadRuntime();
  const storage = new Storage();
  const open = new Set<Prepared>();
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;
  let peak = 0;

  /** One thing after another: a run never sees a half-made update. */
  const serially = <T>(task: () => Promise<T>): Promise<T> => {
    const result = queue.then(() => {
      if (closed) throw new PeftError('device-lost', 'cpu: the executor is closed; make a new one');
      return task();
    });
    queue = result.catch(() => {});
    return result;
  };
  const evaluate = async (tensors: readonly Tensor[]): Promise<readonly TypedArray[]> => {
    const program = buildProgram({ outputs: Object.fromEntries(tensors.map((t, i) => [i, t])) });
    await load(program.variables);
    const prepared = await prepare(program, runtime, storage, { threads, limit });
    try {
      const values = await prepared.run({}, [...program.outputs.keys()]);
      return tensors.map((_, i) => values[i]!);
    } finally {
      prepared.close();
    }
  };
  const load = (variables: Iterable<Variable>): Promise<void> => storage.load(variables, evaluate);
  const held = (): number => storage.bytes + [...open].reduce((n, p) => n + p.scratch, 0);

  const compile = async (program: Program): Promise<Executable> => {
    const prepared = await serially(() => prepare(program, runtime, storage, { threads, limit }));
    open.add(prepared);
    return {
      plan: prepared.plan,
      ...keepOnHost([...program.outputs.keys()], (feeds, read) =>
        serially(async () => {
          if (!open.has(prepared))
            throw new PeftError('bad-program', 'run: the executable is closed; compile the program again');
          checkFeeds(program, feeds);
          await load([...program.variables, ...program.updates.map(([v]) => v)]);
          const results = await prepared.run(feeds, read);
          peak = Math.max(peak, held());
          return results;
        }),
      ),
      close: () => {
        if (open.delete(prepared)) void serially(async () => prepared.close());
      },
    };
  };

  return {
    name: 'cpu',
    description: `${cpus()[0]?.model.trim() ?? 'processor'}, ${threads} threads, ONNX Runtime`,
    compile,
    read: (v) =>
      serially(async () => {
        await load([v]);
        return narrow(v.dtype, storage.value(v.node));
      }),
    write: (v, data) =>
      serially(async () => {
        checkWrite(v, data);
        storage.write(v, data);
      }),
    release: (variables) => {
      for (const { node } of variables) storage.release(node);
    },
    memory: () => ({
      now: held(),
      peak: Math.max(peak, held()),
      byKind: {
        variables: storage.bytes,
        constants: 0,
        temporaries: held() - storage.bytes,
        parameters: 0,
        staging: 0,
      },
    }),
    close: async () => {
      if (closed) return;
      await serially(async () => {
        for (const prepared of open) prepared.close();
        open.clear();
        storage.clear();
        closed = true;
      });
    },
  };
};
