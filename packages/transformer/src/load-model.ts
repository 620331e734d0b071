import type { Place } from '@peftjs/io';
import type { CheckpointReader } from './checkpoint-reader.ts';
import type { CausalLM, TaskModel } from './task-model.ts';
import type { Task } from './tasks/task.ts';
import type { WeightDType } from './weights.ts';

/** Options of `loadModel`. */
export interface LoadModelOptions<Out> {
  /** Default: `causalLM()`. */
  readonly task?: Task<Out>;
  /** Seed of the first values of a task's head that the folder does not have. Default 0. */
  readonly seed?: number;
  /** Whether the task's head is made anew though the folder has one: for other classes than it was trained on. Default false. */
  readonly newHead?: boolean;
  /**
   * How matrices are kept: weights of linear layers and tables, not norms, biases and new heads. `f16` rounds each value to the nearest; a file
   * that holds f16 loses nothing. Half the memory on the cpu executor and on WebGPU. Adapters train over it in f32; it cannot be trained itself.
   * Default `f32`.
   */
  readonly dtype?: WeightDType;
  /**
   * Readers of quantised checkpoints, of which the one is taken that `config.json` names: `[bitsandbytes, gptq, awq, mxfp4]` of `@peftjs/quant`. Layers that the folder
   * holds packed stay so, with the same values: what LoRA and its kin train on, as after `quantize`; packed experts become floats of `dtype`. Default none: such folders are refused.
   */
  readonly readers?: readonly CheckpointReader[];
}

/**
 * Loads a model from a folder (a path on disk, a URL, `Files`) with `config.json` and safetensors, as Hugging Face writes them, with the head of a task: that of the folder,
 * or a new one where it has none, or by `newHead`. Only headers are read and checked now; each tensor is read when an executor first needs it, so
 * the folder must stay as it is.
 * Throws `bad-option`, `file-missing`, `bad-config`, `unknown-architecture`, `bad-safetensors`; `bad-option` for a task that the model has no head for;
 * `state-mismatch` with all tensors that are missing, left over or of another shape.
 */
export async function loadModel(dir: Place, options?: Omit<LoadModelOptions<unknown>, 'task'>): Promise<CausalLM>;
export async function loadModel<Out>(
  dir: Place,
  options: LoadModelOptions<Out> & { readonly task: Task<Out> },
): Promise<TaskModel<Out>>;
export async function loadModel(dir: Place, options: LoadModelOptions<unknown> = {}): Promise<TaskModel<unknown>> {
  const { readModel } = await import('./read-model.ts');
  return readModel(dir, options);
}
