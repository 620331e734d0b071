import type { DType, Shape } from '@peftjs/tensor';
import type * as Ort from 'onnxruntime-node';
import { bytesOf } from '../lower/emitter.ts';
import { endName, isEnd } from '../proto/end.ts';
import type { BitsArrays } from './pack-bits.ts';
import type { Recipe } from './recipe.ts';
import type { Runtime } from './runtime.ts';
import type { HostArray } from './storage.ts';

const types = { f32: 'float32', f16: 'float32', i32: 'int32', u32: 'uint32', u8: 'uint8' } as const;

const optionsFor = (
  threads: number,
  bits: BitsArrays,
  profile: string | null,
): Ort.InferenceSession.SessionOptions => ({
  executionProviders: ['cpu'],
  executionMode: 'sequential',
  // Graphs come as they are best: looking for more takes longer than the rest of a session's start, and what it finds saves nothing. Some of it would
  // undo the order in which nodes are to run, or make one of copies that are for one use each.
  graphOptimizationLevel: 'disabled',
  enableCpuMemArena: true,
  // A pattern is one more block beside the arena that the first run has filled: half as much memory again, and no faster.
  enableMemPattern: false,
  intraOpNumThreads: threads,
  logSeverityLevel: 4,
  ...(bits.length > 0 && { externalData: bits.map(([path, data]) => ({ path, data: bytesOf(data) })) }),
  ...(profile !== null && { enableProfiling: true, profileFilePrefix: profile }),
  extra: {
    session: {
      // Between runs, threads of one program would only take time from the next one's.
      force_spinning_stop: '1',
      // Long enough for the pauses between kernels. Where other processes want the cores, waiting longer holds up the very thread that is
      // waited for: with three busy processes on two cores a step takes a third of the time that it takes with the default of 1 ms.
      intra_op: { spin_duration_us: '50' },
    },
  },
});

/** A graph in ONNX Runtime. */
export interface Session {
  /** Computes the results named, into the arrays given; all by their names in the graph. */
  run(inputs: ReadonlyMap<string, HostArray>, results: ReadonlyMap<string, HostArray>): Promise<void>;
  /** Writes the profile, where it was opened with one. */
  endProfile(): void;
  close(): void;
}

const emptySession: Session = { run: async () => {}, endProfile: () => {}, close: () => {} };

/** Takes the error of a run that is over; throws any other. */
const mustHaveEnded = (error: unknown): void => {
  if (!isEnd(error)) throw error;
};

/** Makes a session of a recipe's model and of its packed matrices, which profiles its runs into files of a prefix where one is given. Throws ONNX Runtime's errors as they are. */
export const openSession = async (
  runtime: Runtime,
  recipe: Recipe,
  threads: number,
  bits: BitsArrays = [],
  profile: string | null = null,
): Promise<Session> => {
  if (!recipe.model) return emptySession;
  const specs = new Map(
    [...recipe.inputs, ...recipe.outputs, ...recipe.updates, ...recipe.made].map(({ graph, spec }) => [graph, spec]),
  );
  const signed = new Set(recipe.inputs.filter((input) => input.signed).map(({ graph }) => graph));
  const wrapped = new Map<string, WeakMap<HostArray, Ort.Tensor>>();
  /** An array as ONNX Runtime takes it; most arrays are the same at every run. */
  const wrap = (name: string, data: HostArray): Ort.Tensor => {
    const known = wrapped.get(name) ?? wrapped.set(name, new WeakMap()).get(name)!;
    const { dtype, shape } = specs.get(name)!;
    const make = signed.has(name) ? inTwosComplement : tensorOf;
    return known.get(data) ?? known.set(data, make(data, shape, dtype)).get(data)!;
  };
  const inTwosComplement = ({ buffer, byteOffset, length }: HostArray, shape: Shape): Ort.Tensor =>
    new runtime.Tensor('int8', new Int8Array(buffer, byteOffset, length), shape);
  const tensorOf = (data: HostArray, shape: Shape, dtype: DType): Ort.Tensor =>
    data instanceof Uint16Array
      ? // Where JavaScript has Float16Array the tensor makes one of the bits, in which ONNX Runtime then finds no bytes.
        Object.defineProperty(new runtime.Tensor('float16', data, shape), 'data', { value: data })
      : new runtime.Tensor(types[dtype] as 'float32', data as Float32Array, shape);
  const wrapAll = (arrays: ReadonlyMap<string, HostArray>): Record<string, Ort.Tensor> =>
    Object.fromEntries([...arrays].map(([name, data]) => [name, wrap(name, data)]));
  const session = await runtime.InferenceSession.create(recipe.model, optionsFor(threads, bits, profile));
  return {
    run: async (inputs, results) => {
      await session.run(wrapAll(inputs), { ...wrapAll(results), [endName]: null }).catch(mustHaveEnded);
    },
    endProfile: () => session.endProfiling(),
    close: () => void session.release(),
  };
};
