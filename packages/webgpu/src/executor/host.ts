import type { Program } from '@peftjs/tensor';
import type { Gpu } from '../device/dawn.ts';
import type { Trial } from '../kernel.ts';
import { type Buffers, deviceBuffers } from './buffers.ts';
import type { CommandLimits } from './commands.ts';
import { type Pipelines, pipelineCache } from './pipelines.ts';
import { type Submissions, submissions } from './submissions.ts';
import { makeTuner, type Tuner, type TunerOptions } from './tuner.ts';
import { deviceVariables, type Variables } from './variables.ts';

/** Limits, and hooks for tests. */
export interface HostOptions {
  /** Fill memory with NaN whenever nothing of use is in it. */
  readonly poison?: boolean;
  /** Bytes that the device is taken to have. Default: what it has; it says so only when it has no more. */
  readonly memoryLimit?: number;
  /** Bytes that a kernel may bind of one buffer. Default: the adapter's limit. */
  readonly maxBindingBytes?: number;
  /** Workgroups per dimension above which a dispatch is folded. Default: the adapter's limit. */
  readonly maxWorkgroups?: number;
  /** Where choices of kernels are kept that are made by timing them, and for how long that may hold a program up. Default: choices are fixed. */
  readonly tuned?: Pick<TunerOptions, 'store'> & Partial<Pick<TunerOptions, 'budget'>>;
}

/** An open device with all that its programs share. */
export interface Host {
  readonly gpu: Gpu;
  readonly device: GPUDevice;
  readonly buffers: Buffers;
  readonly pipelines: Pipelines;
  readonly submissions: Submissions;
  readonly variables: Variables;
  readonly options: HostOptions;
  readonly tuner: Tuner | null;
}

/** Milliseconds that a program may take longer to compile because kernels are timed, unless one choice takes longer; a trial may be under way then. */
const tuneBudget = 1500;

/** The limits that commands depend on. */
export const commandLimits = ({ device: { limits }, options }: Host): CommandLimits => ({
  maxWorkgroups: options.maxWorkgroups ?? limits.maxComputeWorkgroupsPerDimension,
  uniformAlignment: limits.minUniformBufferOffsetAlignment,
});

/** The work that a host does for whatever is built on it. */
export interface HostWork {
  /** Compiles and runs a program, for variables whose first value is a graph. */
  runOnce(program: Program): Promise<void>;
  /** Milliseconds that a trial's kernels take. */
  timeTrial(host: Host, trial: Trial): Promise<number>;
}

/** The host of a device. */
export const makeHost = (gpu: Gpu, options: HostOptions, { runOnce, timeTrial }: HostWork): Host => {
  const buffers = deviceBuffers(gpu.device);
  const { tuned } = options;
  /** A kernel that the device refuses is no way to go; a lost device is another matter. */
  const time = (trial: Trial): Promise<number> =>
    timeTrial(host, trial).catch(() => {
      gpu.check();
      return Number.POSITIVE_INFINITY;
    });
  const host: Host = {
    gpu,
    device: gpu.device,
    buffers,
    pipelines: pipelineCache(gpu.device),
    submissions: submissions(gpu.device),
    variables: deviceVariables(gpu, buffers, runOnce),
    options,
    tuner: tuned ? makeTuner({ budget: tuneBudget, ...tuned, time, now: () => performance.now() }) : null,
  };
  return host;
};
