import type { PrepareOptions } from '@peftjs/core';
import { collect, rowsOf, seenBy } from '@peftjs/core/collect';
import { abs, constant, div, equal, matmul, max, mul, reshape, sub, sum, type Tensor } from '@peftjs/tensor';
import type { Call, Inputs, Path, TaskModel } from '@peftjs/transformer';

/**
 * Weights of the rows of a layer's input, [rows, 1]: what padding hides does not count, nor, of the tower that is to be learnt of, what has no label. Rows that are no tokens all count: those of a
 * pooler, [batch, in], too.
 */
const weightsOf = (
  x: Tensor,
  { sequence: { tower, mask, tokens } }: Call,
  labels: Tensor | null,
  main: string,
): Tensor => {
  const [batch, rows] = x.shape.length > 2 ? (x.shape as readonly [number, number]) : [x.shape[0]!, 1];
  const each = (t: Tensor): Tensor | null => (t.shape.length === 2 && t.shape[1] === rows ? t : null);
  const counted = [
    mask && each(mask),
    labels && tower === main && each(labels) ? sub(1, equal(labels, constant(Int32Array.of(-100), []))) : null,
  ].filter((t) => t !== null);
  const ones = constant(new Float32Array(batch * rows).fill(1), [batch, rows]);
  if (x.shape.length === 2 || rows !== tokens) return reshape(ones, [batch * rows, 1]);
  return reshape(
    counted.reduce((a, b) => mul(a, b), ones),
    [batch * rows, 1],
  );
};

/** The inputs of layers in a pass, [tokens, in], and the weights of their rows. */
const inputsSeen = (
  model: TaskModel,
  paths: readonly Path[],
  inputs: Inputs,
  labelled: boolean,
): ReadonlyMap<Path, { readonly x: Tensor; readonly weights: Tensor }> => {
  const labels = labelled ? (inputs['labels'] ?? null) : null;
  return seenBy(model, paths, inputs, (x, { inDim }, call) => ({
    x: reshape(x, [-1, inDim]),
    weights: weightsOf(x, call, labels, model.main.name),
  }));
};

/** How inputs are summed. */
export interface InputSums {
  /** Whether each example is divided by the magnitude of its largest value, and counts as one. Default: tokens count. */
  readonly normalized?: boolean;
  /** Whether tokens without a label are left out. */
  readonly labelled?: boolean;
}

/** Σ xxᵀ [in, in], Σ x [in] and the number of the inputs of each layer, given to `take` layer by layer. Throws `diverged`. */
export const eachInputs = (
  who: string,
  model: TaskModel,
  paths: readonly Path[],
  look: PrepareOptions,
  { normalized = false, labelled = false }: InputSums,
  take: (
    path: Path,
    sums: { readonly products: Float32Array; readonly values: Float32Array; readonly count: number },
    batches: number,
  ) => Promise<void> | void,
): Promise<void> => {
  const data = normalized ? look.data.flatMap(rowsOf) : look.data;
  return collect(
    who,
    model,
    paths,
    { ...look, data },
    {
      shapes: ({ inDim }) => ({ products: [inDim, inDim], values: [inDim], count: [1] }),
      terms: (view, some, inputs) =>
        new Map(
          [...inputsSeen(view, some, inputs, labelled)].map(([path, { x: raw, weights }]) => {
            const scaled = normalized ? div(raw, maxMagnitude(raw)) : raw;
            const x = mul(scaled, weights);
            const terms = { products: matmul(x, scaled, { transposeA: true }), values: sum(x, { axes: [0] }) };
            return [path, { ...terms, count: reshape(sum(weights), [1]) }];
          }),
        ),
    },
    (path, { products, values, count }) =>
      take(path, { products: products!, values: values!, count: count![0]! }, data.length),
  );
};

/** |max x|, as Hugging Face PEFT's CorDA takes it. */
const maxMagnitude = (x: Tensor): Tensor => {
  const largest = max(max(x, { axes: [1] }), { axes: [0] });
  return abs(largest);
};
