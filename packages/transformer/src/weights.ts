import type { Files } from '@peftjs/io';
import { normalValues, randomSource, type Shape, sizeOf, type VariableInit } from '@peftjs/tensor';

/** How a model keeps its matrices: f16 takes half the memory, is rounded to nearest even, and cannot be trained. */
export type WeightDType = 'f32' | 'f16';

/** Where a model's weights come from, by Hugging Face tensor name. */
export interface WeightSource {
  /** The folder that they lie in; none for weights that are made. */
  readonly source?: Files;
  has(name: string): boolean;
  /** Whether a tensor is drawn in place of one that is not there. Default: none is. */
  isNew?(name: string): boolean;
  /** How matrices (weights of linear layers, tables) are kept; vectors, and heads that the task trains, are f32. Default f32. */
  readonly dtype?: WeightDType;
  /** First value, in f32, of the variable that will hold a tensor; `shape` is what the model needs. */
  load(name: string, shape: Shape): VariableInit;
  /** The bits of a tensor that is stored as f16, so that they need not go by way of f32; null for one that is stored in another way. Default: none is. */
  loadHalf?(name: string): (() => Promise<Uint16Array>) | null;
}

/** How a tensor starts where nothing is learnt yet; a number: all values are it. */
export type InitKind = 'normal' | 'residual' | 'zeros' | 'ones' | number;

/** A tensor that an architecture needs. */
export interface TensorNeed {
  readonly shape: Shape;
  readonly init: InitKind;
}

/** The tensors of a model by Hugging Face name. */
export type TensorNeeds = ReadonlyMap<string, TensorNeed>;

/**
 * Weights drawn as their needs say; see `randomWeights`.
 */
export const randomValues = (needs: TensorNeeds, layers: number, seed: number): WeightSource => ({
  has: (name) => needs.has(name),
  load: (name, shape) => () => {
    const { init } = needs.get(name)!;
    if (typeof init === 'number') return new Float32Array(sizeOf(shape)).fill(init);
    if (init === 'zeros' || init === 'ones') return new Float32Array(sizeOf(shape)).fill(init === 'ones' ? 1 : 0);
    return normalValues(
      sizeOf(shape),
      init === 'residual' ? 0.02 / Math.sqrt(2 * layers) : 0.02,
      randomSource(seed, name),
    );
  },
});
