import type { Program } from '../program.ts';
import { type Buffers, deviceBuffers } from './buffers.ts';
import type { Gpu } from './dawn.ts';
import { type Pipelines, pipelineCache } from './pipelines.ts';
import { type Submissions, submissions } from './submissions.ts';
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
}

/** The host of a device. `runOnce` compiles and runs a program there, for variables whose first value is a graph. */
export const makeHost = (gpu: Gpu, options: HostOptions, runOnce: (program: Program) => Promise<void>): Host => {
  const buffers = deviceBuffers(gpu.device);
  return {
    gpu,
    device: gpu.device,
    buffers,
    pipelines: pipelineCache(gpu.device),
    submissions: submissions(gpu.device),
    variables: deviceVariables(gpu, buffers, runOnce),
    options,
  };
};
