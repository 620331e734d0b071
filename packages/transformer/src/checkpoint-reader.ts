import type { JsonObject, TensorReader } from '@peftjs/io';
import type { Tensor } from '@peftjs/tensor';
import type { Experts } from './experts.ts';
import type { Linear } from './linear.ts';

/** A linear layer that a checkpoint holds packed. */
export interface StoredLayer {
  /** The tensors of the file that it is made of, all of them; their values are read when an executor first needs them. */
  readonly tensors: readonly string[];
  /** The layer; `name` is its weight's. */
  linear(name: string, bias: Tensor | null): Linear;
}

/** Finds a layer in a checkpoint by the beginning of its tensors' names (`model.layers.0.mlp.up_proj`); null where the file holds it as floats. */
export type FindLayer = (
  checkpoint: TensorReader,
  path: string,
  shape: readonly [outDim: number, inDim: number],
) => Promise<StoredLayer | null>;

/** Matrices of experts that a checkpoint holds packed. */
export interface StoredExperts {
  /** The tensors of the file that they are made of, all of them. */
  readonly tensors: readonly string[];
  /** The experts; `name` is that of their tensor. */
  experts(name: string, bias: Tensor | null): Experts;
}

/** Finds matrices of experts in a checkpoint by the beginning of their tensors' names (`model.layers.0.mlp.experts.down_proj`); null where the file holds them as floats. */
export type FindExperts = (
  checkpoint: TensorReader,
  path: string,
  shape: readonly [experts: number, outDim: number, inDim: number],
) => StoredExperts | null;

/** Reads checkpoints of one quantiser, as `loadModel` takes it. */
export interface CheckpointReader {
  /** The `quant_method` in `config.json`'s `quantization_config`. */
  readonly method: string;
  /** Checks that object; settings that are not read go to `problems`. */
  open(config: JsonObject, problems: string[]): FindLayer;
  /** Finds experts that such checkpoints hold packed. Default: they hold none. */
  readonly experts?: FindExperts;
}
