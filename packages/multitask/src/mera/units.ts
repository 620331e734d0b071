import type { Adapted } from '@peftjs/core';
import type { OnExecutor } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';

/** Tensors of an adapter, on the host. */
export type Tensors = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** Distances of the units of one bottleneck to those of another: [units of one][units of other]. */
export type Distances = readonly (readonly number[])[];

/** A bottleneck's projection to its units, [units, d], by name. */
export const isDown = (name: string): boolean => /(^|\.)adapter_down\.[01]\.weight$/.test(name);

/** The names of a bottleneck's other tensors that have units, by that of its projection to them. */
export const biasOf = (down: string): string => down.replace(/weight$/, 'bias');
export const upOf = (down: string): string => down.replace(/adapter_down\.[01]\.weight$/, 'adapter_up.weight');

/** All tensors of an adapter. */
export const valuesOf = async <M extends Model>(adapted: Adapted<M>, { executor }: OnExecutor): Promise<Tensors> =>
  new Map(
    await Promise.all(
      [...adapted.state].map(
        async ([name, v]) => [name, { shape: v.shape, data: (await executor.read(v)) as Float32Array }] as const,
      ),
    ),
  );

/** Euclidean distances of the units of two bottlenecks, of their incoming weights and bias. */
export const distancesOfWeights = (one: Tensors, other: Tensors, down: string): Distances => {
  const [units, width] = one.get(down)!.shape as readonly [number, number];
  const unitsOf = (tensors: Tensors): number[][] =>
    Array.from({ length: units }, (_, i) => [
      ...tensors.get(down)!.data.subarray(i * width, (i + 1) * width),
      tensors.get(biasOf(down))?.data[i] ?? 0,
    ]);
  const [ours, theirs] = [unitsOf(one), unitsOf(other)];
  return ours.map((a) => theirs.map((b) => Math.hypot(...a.map((v, k) => v - b[k]!))));
};
