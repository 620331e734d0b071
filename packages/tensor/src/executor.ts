import type { TypedArray } from './dtype.ts';
import type { Variable } from './graph.ts';
import { buildProgram, type Program, type ProgramSpec } from './program.ts';

/** Values by name. */
export type Feeds = Readonly<Record<string, TypedArray>>;

/** What is known of an executable before its first run. */
export interface Plan {
  /** Planned peak of memory while it runs, variables and constants included, in bytes. */
  readonly peakBytes: number;
  /** Kernels started per run. */
  readonly dispatches: number;
  /** Floating-point operations per run. */
  readonly flops: number;
}

/** A program made ready on a device: replayed by `run`. */
export interface Executable {
  readonly plan: Plan;
  /**
   * Runs once: feeds by input name (checked), results by output name. `read` names the outputs to bring back, default all; a step that
   * reads nothing does not wait for the device. Updates take effect when the run ends. Runs of one executor never overlap.
   */
  run(feeds?: Feeds, options?: { readonly read?: readonly string[] }): Promise<Record<string, TypedArray>>;
  /** Frees what belongs to this program alone; variables stay. */
  close(): void;
}

/** Memory held on a device, in bytes. */
export interface MemoryReport {
  readonly now: number;
  readonly peak: number;
}

/** A device that compiles and runs programs, and holds variables. */
export interface Executor {
  readonly name: 'reference' | 'cpu' | 'webgpu';
  /** For people: the adapter or the processor. */
  readonly description: string;
  compile(program: Program): Promise<Executable>;
  /** A copy of a variable's value here, its initial value when no program has used it. */
  read(variable: Variable): Promise<TypedArray>;
  /** Replaces a variable's value here. Throws `bad-shape` or `bad-dtype`. */
  write(variable: Variable, data: TypedArray): Promise<void>;
  /** Frees the storage of variables; a later use starts from their initial value. */
  release(variables: Iterable<Variable>): void;
  memory(): MemoryReport;
  close(): Promise<void>;
}

/** Turns outputs and updates into an executable; once per shape, then replay it. */
export const compile = (spec: ProgramSpec, executor: Executor): Promise<Executable> =>
  executor.compile(buildProgram(spec));

/** Computes tensors once, without inputs: for initial values, merging and tests. */
export const evaluate = async (
  outputs: Readonly<Record<string, import('./graph.ts').Tensor>>,
  executor: Executor,
  feeds: Feeds = {},
): Promise<Record<string, TypedArray>> => {
  const executable = await compile({ outputs }, executor);
  try {
    return await executable.run(feeds);
  } finally {
    executable.close();
  }
};
