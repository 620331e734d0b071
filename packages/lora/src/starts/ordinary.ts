import {
  type AdapterConfig,
  attach,
  type Compacted,
  isObject,
  type JsonObject,
  type JsonValue,
  type Method,
  type State,
} from '@peftjs/core';
import type { OnExecutor, TypedArray } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { lora } from '../lora.ts';
import { takenNames } from './taken-away.ts';

const times = (value: JsonValue | undefined, factor: number): JsonValue =>
  isObject(value)
    ? Object.fromEntries(Object.entries(value as JsonObject).map(([key, v]) => [key, times(v, factor)]))
    : Number(value) * factor;

/** The configuration of an ordinary LoRA of twice the rank, with the same scale. */
const doubled = ({ r, rank_pattern, lora_alpha, alpha_pattern, ...rest }: AdapterConfig): AdapterConfig => {
  const more = rest['use_rslora'] === true ? Math.SQRT2 : 2;
  return {
    ...rest,
    r: times(r, 2),
    rank_pattern: times(rank_pattern, 2),
    lora_alpha: times(lora_alpha, more),
    alpha_pattern: times(alpha_pattern, more),
    init_lora_weights: true,
  };
};

/** Rows of two matrices in turn, the second negated: [B, −B₀]. */
const beside = (b: ArrayLike<number>, taken: ArrayLike<number>, rank: number): Float32Array =>
  Float32Array.from({ length: 2 * b.length }, (_, i) => {
    const [row, column] = [Math.floor(i / (2 * rank)), i % (2 * rank)];
    return column < rank ? b[row * rank + column]! : -taken[row * rank + column - rank]!;
  });

const below = (a: TypedArray, taken: TypedArray): Float32Array => {
  const both = new Float32Array(a.length + taken.length);
  both.set(a);
  both.set(taken, a.length);
  return both;
};

/**
 * The change of a LoRA that began with a part s·B₀A₀ of the weights, as an ordinary LoRA of rank 2r over the base itself: s·(BA − B₀A₀), which any loader takes. Of the method, attached to
 * the base anew, B₀ and A₀ are found again.
 */
export const ordinary = async (
  model: Model,
  method: Method,
  state: State,
  { executor }: OnExecutor,
): Promise<Compacted> => {
  const { running } = attach(model, [method]);
  const now = new Map(state);
  for (const [name, taken] of running) {
    const path = name.slice(0, name.lastIndexOf('.'));
    const isA = name.endsWith(takenNames.a);
    const own = `${path}.lora_${isA ? 'A' : 'B'}.weight`;
    const { shape, data } = state.get(own)!;
    const [rows, columns] = shape as readonly [number, number];
    const values = await executor.read(taken);
    now.set(
      own,
      isA
        ? { shape: [2 * rows, columns], data: below(data, values) }
        : { shape: [rows, 2 * columns], data: beside(data as Float32Array, values as Float32Array, columns) },
    );
  }
  executor.release(running.values());
  return { method: lora.fromConfig(doubled(method.config(model))), state: now };
};
