import type { TypedArray } from './dtype.ts';
import type { Variable } from './graph.ts';
import { checkOptions, mustBe, type Rules } from './options.ts';
import { buildProgram, type Program, type ProgramSpec } from './program.ts';

/** Values by name. */
export type Feeds = Readonly<Record<string, TypedArray>>;

/** A tensor that takes memory when a program needs most. */
export interface PlannedTensor {
  /** A variable's name, or the op that makes it, with its shape. */
  readonly name: string;
  readonly kind: 'variable' | 'constant' | 'temporary';
  readonly bytes: number;
}

/** The kernels of one kind: same op, same shapes. */
export interface PlannedKernel {
  readonly name: string;
  /** Times it is started in a run. */
  readonly count: number;
  /** Floating-point operations of all of them. */
  readonly flops: number;
  /** Bytes that all of them read and write at least: each tensor once per kernel. */
  readonly bytes: number;
}

/** The figures of an executable before its first run. */
export interface Plan {
  /** Planned peak of memory while it runs, variables and constants included, in bytes. */
  readonly peakBytes: number;
  /** Kernels started per run. */
  readonly dispatches: number;
  /** Floating-point operations per run. */
  readonly flops: number;
  /** Bytes read and written per run: each tensor once per kernel that touches it, so a lower bound. */
  readonly bytesMoved: number;
  /** The holders of memory at the moment when most is needed, largest first. */
  readonly tensors: readonly PlannedTensor[];
  /** By kind, most bytes first. */
  readonly kernels: readonly PlannedKernel[];
}

/** Kernels of one kind as they were timed in one run. */
export interface ProfiledKernel extends PlannedKernel {
  /** The op of the program that they were made for, where the executor can tell. */
  readonly op?: string;
  /** Milliseconds on the device, of all of them. */
  readonly ms: number;
  /** Part of the time of all kernels, 0 to 1. */
  readonly share: number;
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
}

/** Where the time of one run went. */
export interface Profile {
  /** Milliseconds of all kernels. */
  readonly ms: number;
  /** Most time first. */
  readonly kernels: readonly ProfiledKernel[];
}

/** The fate of a run's outputs. */
export interface RunOptions {
  /** Outputs to bring back now. Default: all, or none where some are kept. */
  readonly read?: readonly string[];
  /** Outputs to hold on the device until `kept` is called: the losses of many steps then cost one wait. */
  readonly keep?: readonly string[];
}

/** A program made ready on a device: replayed by `run`. */
export interface Executable {
  readonly plan: Plan;
  /**
   * Runs once: feeds by input name (checked), results by output name. A step that reads nothing does not wait for the device. Updates take
   * effect when the run ends. Runs of one executor never overlap.
   */
  run(feeds?: Feeds, options?: RunOptions): Promise<Record<string, TypedArray>>;
  /** The outputs that runs were told to `keep` since the last call, one entry per run, oldest first; waits for those runs. */
  kept(): Promise<Record<string, TypedArray>[]>;
  /**
   * Runs once, updates included, and times every kernel by itself, or its quickest of some runs. Absent where the executor can't tell. Throws `device-unavailable` when
   * the adapter has no timestamps.
   */
  profile?(feeds?: Feeds): Promise<Profile>;
  /** Frees what belongs to this program alone; variables stay. */
  close(): void;
}

/**
 * The purposes that memory is held for: weights and state; constants of programs; what programs compute with; sizes and numbers for kernels; what is on
 * its way to or from the host.
 */
export type MemoryKind = 'variables' | 'constants' | 'temporaries' | 'parameters' | 'staging';

/** Memory held on a device, in bytes. */
export interface MemoryReport {
  readonly now: number;
  readonly peak: number;
  /** Parts of `now`. */
  readonly byKind: Readonly<Record<MemoryKind, number>>;
}

/** A device that compiles and runs programs, and holds variables. */
export interface Executor {
  /** `reference`, `cpu`, `webgpu`, or as its author calls it. */
  readonly name: string;
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

/** The executor of a function that needs one: it stands among the options, which come last. */
export interface OnExecutor {
  readonly executor: Executor;
}

/** The rule for it. */
export const onExecutor: Rules<OnExecutor> = { executor: mustBe.given(mustBe.executor) };

/** Turns outputs and updates into an executable; once per shape, then replay it. Throws `bad-option`, `bad-program`. */
export const compile = async (spec: ProgramSpec, options: OnExecutor): Promise<Executable> => {
  checkOptions('compile', onExecutor, options);
  return options.executor.compile(buildProgram(spec));
};

/** The executor and the inputs of what is computed once. */
export interface EvaluateOptions extends OnExecutor {
  /** Values of inputs by name. Default: none. */
  readonly feeds?: Feeds;
}

const evaluateRules: Rules<EvaluateOptions> = { ...onExecutor, feeds: mustBe.object };

/** Computes tensors once: initial values, merging, tests. Throws `bad-option`, `bad-program`. */
export const evaluate = async (
  outputs: Readonly<Record<string, import('./graph.ts').Tensor>>,
  options: EvaluateOptions,
): Promise<Record<string, TypedArray>> => {
  checkOptions('evaluate', evaluateRules, options);
  const { executor, feeds = {} } = options;
  const executable = await compile({ outputs }, { executor });
  try {
    return await executable.run(feeds);
  } finally {
    executable.close();
  }
};
