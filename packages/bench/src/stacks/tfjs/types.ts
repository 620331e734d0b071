import type { TypedArray } from '@peftjs/tensor';

/** A tensor of TensorFlow.js 4, as far as it is used here; the peer is no dependency, so its own types are not at hand. */
export interface TfTensor {
  readonly shape: number[];
  data(): Promise<TypedArray>;
  dispose(): void;
}

/** A tensor that an optimiser changes. */
export interface TfVariable extends TfTensor {
  readonly trainable: boolean;
}

/** The module. */
export interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  env(): { set(flag: string, value: boolean | number): void };
  tidy<T>(f: () => T): T;
  keep<T extends TfTensor>(x: T): T;
  dispose(x: TfTensor | readonly TfTensor[]): void;
  tensor(data: TypedArray, shape: readonly number[], dtype?: string): TfTensor;
  variable(initial: TfTensor, trainable?: boolean, name?: string): TfVariable;
  add(a: TfTensor, b: TfTensor | number): TfTensor;
  sub(a: TfTensor, b: TfTensor | number): TfTensor;
  mul(a: TfTensor, b: TfTensor | number): TfTensor;
  square(x: TfTensor): TfTensor;
  rsqrt(x: TfTensor): TfTensor;
  sigmoid(x: TfTensor): TfTensor;
  softmax(x: TfTensor, axis?: number): TfTensor;
  mean(x: TfTensor, axis?: number, keepDims?: boolean): TfTensor;
  argMax(x: TfTensor, axis: number): TfTensor;
  matMul(a: TfTensor, b: TfTensor, transposeA?: boolean, transposeB?: boolean): TfTensor;
  transpose(x: TfTensor, permutation?: readonly number[]): TfTensor;
  reshape(x: TfTensor, shape: readonly number[]): TfTensor;
  split(x: TfTensor, parts: number, axis: number): [TfTensor, TfTensor];
  slice(x: TfTensor, begin: readonly number[], size: readonly number[]): TfTensor;
  concat(parts: readonly TfTensor[], axis: number): TfTensor;
  gather(x: TfTensor, indices: TfTensor): TfTensor;
  scatterND(indices: TfTensor, updates: TfTensor, shape: readonly number[]): TfTensor;
  oneHot(indices: TfTensor, depth: number): TfTensor;
  customGrad(
    f: (...args: TfTensor[]) => { readonly value: TfTensor; readonly gradFunc: (dy: TfTensor) => TfTensor[] },
  ): (...args: TfTensor[]) => TfTensor;
  readonly losses: { softmaxCrossEntropy(oneHotLabels: TfTensor, logits: TfTensor): TfTensor };
  readonly train: {
    adam(
      rate: number,
      beta1: number,
      beta2: number,
      epsilon: number,
    ): {
      minimize(f: () => TfTensor, returnCost: true, variables: TfVariable[]): TfTensor;
    };
  };
}
