import { describe, PeftError, type Shape } from '@peftjs/tensor';
import type { OpNode } from '@peftjs/tensor/executor';
import type * as Ort from 'onnxruntime-node';
import type { Lowered } from '../lower/lower.ts';
import { encodeModel } from '../proto/model.ts';
import { fileOrder } from './execution-order.ts';
import type { HostArray } from './storage.ts';

/** onnxruntime-node, loaded. */
export type Runtime = typeof Ort;

/** Loads onnxruntime-node. Throws `device-unavailable` where it is not installed or has no binary for this platform. */
export const loadRuntime = async (): Promise<Runtime> => {
  try {
    const loaded = (await import('onnxruntime-node')) as Runtime & { readonly default?: Runtime };
    return loaded.default ?? loaded;
  } catch (cause) {
    throw new PeftError(
      'device-unavailable',
      `cpu: onnxruntime-node did not load on ${process.platform} ${process.arch}; npm install onnxruntime-node`,
      { cause },
    );
  }
};

const types = { float: 'float32', int32: 'int32', uint32: 'uint32', uint8: 'uint8' } as const;

/** The op whose node a message names. */
const culprit = (message: string, origins: ReadonlyMap<string, OpNode>): OpNode | undefined => {
  const name = /Name:'([^']+)'/.exec(message)?.[1] ?? /Node[: ]\s*\(([^)]+)\)/.exec(message)?.[1];
  return name === undefined ? undefined : origins.get(name.split('.')[0]!);
};

/** ONNX Runtime's error as ours: the op and its specs instead of the graph's names. */
const explain = (cause: unknown, what: string, origins: ReadonlyMap<string, OpNode>): PeftError => {
  const message = cause instanceof Error ? cause.message : String(cause);
  const node = culprit(message, origins);
  const where = node
    ? ` at ${node.op.name}(${node.inputs.flatMap((t) => (t ? [describe(t)] : [])).join(', ')}) -> ${node.outs.map(describe).join(', ')}`
    : '';
  const full = /bad_alloc|allocate memory|out of memory/i.test(message);
  const remedy = full ? '; use a smaller batch, shorter sequences, or checkpoint' : '';
  return new PeftError(
    full ? 'out-of-memory' : 'device-error',
    `cpu: ONNX Runtime could not ${what} the program${where}: ${message}${remedy}`,
    { cause },
  );
};

/** Values for one run: an array and its shape. */
export interface HostTensor {
  readonly data: HostArray;
  readonly shape: Shape;
}

/** A graph in ONNX Runtime. */
export interface Session {
  /** Computes the outputs named, into the arrays given. */
  run(feeds: ReadonlyMap<string, HostTensor>, outputs: ReadonlyMap<string, HostTensor>): Promise<void>;
  close(): void;
}

/** Makes a session. Throws `device-error` when ONNX Runtime refuses the graph. */
export const openSession = async (runtime: Runtime, lowered: Lowered, threads: number): Promise<Session> => {
  const { origins } = lowered;
  const typeOf = new Map(
    [...lowered.model.inputs, ...lowered.model.outputs].map((v) => [v.name, types[v.type as keyof typeof types]]),
  );
  const wrapped = new Map<string, WeakMap<HostArray, Ort.Tensor>>();
  /** An array as ONNX Runtime takes it; most arrays are the same at every run. */
  const wrapOne = (name: string, { data, shape }: HostTensor): Ort.Tensor => {
    const known = wrapped.get(name) ?? wrapped.set(name, new WeakMap()).get(name)!;
    return known.get(data) ?? known.set(data, new runtime.Tensor(typeOf.get(name)!, data, shape)).get(data)!;
  };
  const wrap = (tensors: ReadonlyMap<string, HostTensor>): Record<string, Ort.Tensor> =>
    Object.fromEntries([...tensors].map(([name, tensor]) => [name, wrapOne(name, tensor)]));
  const options: Ort.InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    enableCpuMemArena: true,
    // A pattern is one more block beside the arena that the first run has filled: half as much memory again, and no faster.
    enableMemPattern: false,
    intraOpNumThreads: threads,
    logSeverityLevel: 4,
    extra: {
      session: {
        // Between runs, threads of one program would only take time from the next one's.
        force_spinning_stop: '1',
        // Long enough for the pauses between kernels. Where other processes want the cores, waiting longer holds up the very thread that is
        // waited for: with three busy processes on two cores a step takes a third of the time that it takes with the default of 1 ms.
        intra_op: { spin_duration_us: '50' },
      },
      // The first drops the Reshapes that order recomputation (`after`), and fails on some of them. The second makes all blocks of queries at
      // once, long before most of them are needed.
      optimization: { disable_specified_optimizers: 'ReshapeFusion;GatherSliceToSplitFusion' },
    },
  };
  const nodes = fileOrder(lowered.model);
  const session = await runtime.InferenceSession.create(encodeModel({ ...lowered.model, nodes }), options).catch(
    (cause: unknown) => {
      throw explain(cause, 'load', origins);
    },
  );
  return {
    run: async (feeds, outputs) => {
      await session.run(wrap(feeds), wrap(outputs)).catch((cause: unknown) => {
        throw explain(cause, 'run', origins);
      });
    },
    close: () => void session.release(),
  };
};
