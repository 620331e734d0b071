import type { Examples, PrepareOptions } from '@peftjs/core';
import { type Collecting, collect } from '@peftjs/core/collect';
import {
  add,
  concatAll,
  constant,
  equal,
  logSoftmax,
  matmul,
  mul,
  reshape,
  sizeOf,
  slice,
  softmax,
  sqrt,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Call, TaskModel } from '@peftjs/transformer';
import { type ClassChoice, wantedClasses } from './classes.ts';
import type { LoraLayer } from './lora-layers.ts';
import { slopesOf, type Use } from './slopes.ts';

/** Sums over the rows of a layer of all examples: of A its inputs x and ∂/∂(Ax), of B its inputs s·Ax and ∂/∂y. */
export interface FisherSums {
  /** Σ xxᵀ [in, in] */
  readonly inputs: Float32Array;
  /** Σ zzᵀ of z = s·Ax, [rank, rank] */
  readonly low: Float32Array;
  /** Σ ggᵀ of gradients g by Ax, [rank, rank] */
  readonly lowGradients: Float32Array;
  /** Σ ggᵀ of gradients g by y, [out, out] */
  readonly gradients: Float32Array;
  /** How many rows that are. */
  readonly count: number;
  /** Σ log p(label) over the examples. */
  readonly logLikelihood: number;
}

/** 1 for rows of a layer's input that count, 0 for those that padding hides; [rows, 1]. */
const countedRows = (x: Tensor, { sequence: { mask } }: Call): Tensor => {
  const rows = sizeOf(x.shape.slice(0, -1));
  return mask && sizeOf(mask.shape) === rows
    ? reshape(mask, [rows, 1])
    : constant(new Float32Array(rows).fill(1), [rows, 1]);
};

const flat = (t: Tensor): Tensor => reshape(t, [-1, t.shape.at(-1)!]);

/**
 * Gradients whose products sum up to the Fisher information of a softmax, [classes · batch · rows, out]: Σₖ gₖgₖᵀ = Jᵀ(diag p − ppᵀ)J with gₖ = √pₖ·(Jₖ − Σⱼ pⱼJⱼ), the
 * expectation over labels that the model itself draws.
 */
const fisherRoots = ({ slopes }: Use, probabilities: Tensor): Tensor => {
  const ofClass = (k: number): Tensor =>
    reshape(slice(probabilities, { axis: 1, start: k, end: k + 1 }), [probabilities.shape[0]!, 1, 1]);
  const weighted = slopes.map((slope, k) => mul(slope, ofClass(k)));
  const mean = weighted.reduce((a, b) => add(a, b));
  return concatAll(
    slopes.map((slope, k) => flat(mul(sub(slope, mean), sqrt(ofClass(k))))),
    0,
  );
};

const squares = (t: Tensor, other: Tensor = t): Tensor => matmul(t, other, { transposeA: true });

/** The terms that the uses of a layer in a pass add to its sums. */
const termsOf = ({ a, b, scale }: LoraLayer, uses: readonly Use[], probabilities: Tensor) => {
  const rows = concatAll(
    uses.map(({ x }) => flat(x)),
    0,
  );
  const counted = concatAll(
    uses.map(({ x, call }) => countedRows(x, call)),
    0,
  );
  const roots = concatAll(
    uses.map((use) => fisherRoots(use, probabilities)),
    0,
  );
  const low = mul(matmul(rows, a, { transposeB: true }), scale);
  return {
    inputs: squares(mul(rows, counted), rows),
    low: squares(mul(low, counted), low),
    lowGradients: squares(mul(matmul(roots, b), scale)),
    gradients: squares(roots),
    count: reshape(sum(counted), [1]),
  };
};

/** The label's logarithmic probability, summed over the batch, [1]. */
const logLikelihoodOf = (logits: Tensor, wanted: Tensor): Tensor => {
  const [batch, classes] = logits.shape as readonly [number, number];
  const numbers = constant(
    Int32Array.from({ length: classes }, (_, k) => k),
    [1, classes],
  );
  return reshape(sum(mul(logSoftmax(logits), equal(reshape(wanted, [batch, 1]), numbers))), [1]);
};

/** The sums of every layer over examples, given to `take` layer by layer. Throws `bad-data`, `diverged`. */
export const eachFisher = (
  who: string,
  model: TaskModel,
  layers: readonly LoraLayer[],
  classes: ClassChoice,
  { executor, data }: PrepareOptions,
  take: (layer: LoraLayer, sums: FisherSums) => void,
): Promise<void> => {
  const byPath = new Map(layers.map((layer) => [layer.path, layer]));
  const withWanted = data.map(
    (batch): Examples => ({
      rows: batch.rows,
      columns: { ...batch.columns, wanted: wantedClasses(who, classes, batch) },
      shapes: { ...batch.shapes, wanted: [batch.rows] },
    }),
  );
  const collecting: Collecting = {
    shapes: ({ inDim, outDim }, path) => {
      const { rank } = byPath.get(path)!;
      const side = { low: [rank, rank], lowGradients: [rank, rank], gradients: [outDim, outDim] };
      return { inputs: [inDim, inDim], ...side, count: [1], logLikelihood: [1] };
    },
    terms: (view, paths, { wanted, ...inputs }) => {
      const { logits, uses } = slopesOf(who, view, paths, inputs, classes);
      const logLikelihood = logLikelihoodOf(logits, wanted!);
      const probabilities = softmax(logits);
      return new Map(
        paths.map((path) => [path, { ...termsOf(byPath.get(path)!, uses.get(path)!, probabilities), logLikelihood }]),
      );
    },
  };
  return collect(who, model, [...byPath.keys()], { executor, data: withWanted }, collecting, (path, sums) =>
    take(byPath.get(path)!, {
      ...(sums as Record<'inputs' | 'low' | 'lowGradients' | 'gradients', Float32Array>),
      count: sums['count']![0]!,
      logLikelihood: sums['logLikelihood']![0]!,
    }),
  );
};
