import type { TypedArray } from '@peftjs/tensor';

/** An array of `@jax-js/jax` 0.1, as far as it is used here; the peer is no dependency, so its own types are not at hand. */
export interface JaxArray {
  readonly shape: number[];
  /** The same array, owned once more: functions take ownership of what they are given. */
  readonly ref: JaxArray;
  add(x: JaxArray | number): JaxArray;
  sub(x: JaxArray | number): JaxArray;
  mul(x: JaxArray | number): JaxArray;
  div(x: JaxArray | number): JaxArray;
  reshape(shape: readonly number[]): JaxArray;
  data(): Promise<TypedArray>;
}

/** Arrays by name. */
export type Tree = { [name: string]: JaxArray };

interface Numpy {
  readonly int32: string;
  array(data: TypedArray, options?: { readonly shape?: readonly number[]; readonly dtype?: string }): JaxArray;
  zeros(shape: readonly number[]): JaxArray;
  arange(stop: number): JaxArray;
  matmul(a: JaxArray, b: JaxArray): JaxArray;
  transpose(x: JaxArray, axes?: readonly number[]): JaxArray;
  take(x: JaxArray, indices: JaxArray, axis: number): JaxArray;
  split(x: JaxArray, parts: number, axis: number): [JaxArray, JaxArray];
  concatenate(parts: readonly JaxArray[], axis: number): JaxArray;
  mean(x: JaxArray, axis?: number | null, options?: { readonly keepdims?: boolean }): JaxArray;
  sum(x: JaxArray, axis?: number | null): JaxArray;
  square(x: JaxArray): JaxArray;
  sqrt(x: JaxArray): JaxArray;
  argmax(x: JaxArray, axis: number): JaxArray;
  equal(a: JaxArray, b: JaxArray): JaxArray;
  lessEqual(a: JaxArray, b: JaxArray): JaxArray;
  where(condition: JaxArray, a: JaxArray, b: JaxArray): JaxArray;
}

/** The module. */
export interface Jax {
  init(device: string): Promise<string[]>;
  defaultDevice(device: string): string;
  jit<A extends readonly unknown[], R>(f: (...args: A) => R): (...args: A) => R;
  valueAndGrad<A extends readonly [Tree, ...unknown[]]>(f: (...args: A) => JaxArray): (...args: A) => [JaxArray, Tree];
  readonly numpy: Numpy;
  readonly nn: {
    silu(x: JaxArray): JaxArray;
    logsumexp(x: JaxArray, axis: number): JaxArray;
    oneHot(x: JaxArray, classes: number): JaxArray;
    dotProductAttention(
      q: JaxArray,
      k: JaxArray,
      v: JaxArray,
      options: { readonly isCausal?: boolean; readonly mask?: JaxArray },
    ): JaxArray;
  };
  readonly tree: {
    ref<T>(tree: T): T;
    dispose(tree: unknown): void;
  };
}
