import { defineOp, type Op, type Sample } from '../define-op.ts';
import { PeftError } from '../error.ts';
import type { Tensor } from '../graph.ts';
import { type Spec, sameShape, shapeError } from '../shape.ts';
import { accepts } from './accepts.ts';
import { cast } from './cast.ts';
import { expectF32 } from './expect.ts';
import { mul } from './mul.ts';

/** Which label means none, and how many rows of logits exist at a time, at most. */
export interface HeadCrossEntropyAttrs {
  readonly ignoreIndex: number;
  readonly chunk: number;
}

/** Inputs of both ops of heads. */
export type HeadInputs = readonly ['hidden', 'weight', 'labels'];

/** Of a weight of codes. */
export type HeadOptional = readonly ['scale'];

type HeadSpecs = { readonly [K in HeadInputs[number]]: Spec } & { readonly scale?: Spec | undefined };

/** Throws `bad-shape`, `bad-dtype`, `bad-option` for what is no head with its rows and their labels. */
export const checkHead = (
  name: string,
  { hidden, weight, labels, scale }: HeadSpecs,
  { chunk, ignoreIndex }: HeadCrossEntropyAttrs,
): void => {
  expectF32(name, { hidden, ...(scale && { scale }) });
  accepts(name, 'weight', weight, scale ? ['u8'] : ['f32', 'f16']);
  if (scale && !sameShape(scale.shape, [weight.shape[0]!, 1]))
    throw shapeError(
      name,
      [weight, scale],
      'a weight of codes [vocabulary, dim] has a scale for each row, [vocabulary, 1]',
    );
  if (labels.dtype !== 'i32') throw new PeftError('bad-dtype', `${name}: labels are ${labels.dtype}; they must be i32`);
  if (
    hidden.shape.length !== 2 ||
    weight.shape.length !== 2 ||
    hidden.shape[1] !== weight.shape[1] ||
    !sameShape(labels.shape, [hidden.shape[0]!])
  )
    throw shapeError(
      name,
      [hidden, weight, labels],
      'these must be hidden [rows, dim], weight [vocabulary, dim] and labels [rows]',
    );
  if (!Number.isInteger(chunk) || chunk < 1)
    throw new PeftError('bad-option', `${name}: got chunk ${chunk}; it must be a whole number of at least 1`);
  if (!Number.isInteger(ignoreIndex))
    throw new PeftError('bad-option', `${name}: got ignoreIndex ${ignoreIndex}; it must be a whole number`);
};

/** A row that has a label, by the definition: its loss, and the loss's gradient by the row's logits. */
export interface LabelledRow {
  readonly row: number;
  readonly loss: number;
  readonly dLogits: Float64Array;
}

type HeadValues = { readonly [K in HeadInputs[number]]: Float64Array } & { readonly scale?: Float64Array | undefined };

/** The values of a head's weight: as they are, or those of codes in two's complement, each times the scale of its row. */
export const headWeight = ({ weight, scale }: Pick<HeadValues, 'weight' | 'scale'>, dim: number): Float64Array =>
  scale ? weight.map((code, i) => (code < 128 ? code : code - 256) * scale[Math.floor(i / dim)]!) : weight;

/** The rows that have a label, one by one. */
export function* labelledRows(
  { hidden, weight, labels }: Omit<HeadValues, 'scale'>,
  [vocabulary, dim]: readonly [number, number],
  ignoreIndex: number,
): Generator<LabelledRow> {
  for (const [row, label] of labels.entries()) {
    if (label === ignoreIndex || label < 0 || label >= vocabulary) continue;
    const h = hidden.subarray(row * dim, (row + 1) * dim);
    const logits = Float64Array.from({ length: vocabulary }, (_, v) =>
      h.reduce((s, x, d) => s + x * weight[v * dim + d]!, 0),
    );
    const top = logits.reduce((a, b) => Math.max(a, b));
    const logSumExp = top + Math.log(logits.reduce((s, x) => s + Math.exp(x - top), 0));
    const dLogits = logits.map((logit, v) => Math.exp(logit - logSumExp) - (v === label ? 1 : 0));
    yield { row, loss: logSumExp - logits[label]!, dLogits };
  }
}

const infer = (specs: HeadSpecs, attrs: HeadCrossEntropyAttrs): readonly [Spec, Spec, Spec] => {
  checkHead('headCrossEntropy', specs, attrs);
  return [{ shape: [], dtype: 'f32' }, specs.hidden, { shape: specs.weight.shape, dtype: 'f32' }];
};

/** Heads with labels, for both ops of them. */
export const headSamples: readonly Sample<HeadInputs[number] | HeadOptional[number], HeadCrossEntropyAttrs>[] = [
  { shapes: { hidden: [7, 5], weight: [11, 5], labels: [7] }, labels: (i: number) => (i * 5) % 11, chunk: 1024 },
  {
    shapes: { hidden: [23, 9], weight: [70, 9], labels: [23] },
    labels: (i: number) => (i % 3 === 0 ? -100 : (i * 31) % 70),
    chunk: 4,
  },
  {
    shapes: { hidden: [300, 4], weight: [1100, 4], labels: [300] },
    labels: (i: number) => (i < 5 || i > 290 ? (i * 31) % 1100 : -100),
    chunk: 8,
  },
  {
    shapes: { hidden: [19, 36], weight: [68, 36], labels: [19] },
    half: true,
    labels: (i: number) => (i % 4 === 0 ? -100 : (i * 31) % 68),
    chunk: 8,
  },
  { shapes: { hidden: [5, 3], weight: [6, 3], labels: [5] }, labels: () => -100, chunk: 2 },
  { shapes: { hidden: [5, 3], weight: [6, 3], labels: [5] }, labels: (i: number) => i + 3, chunk: 2 },
  { shapes: { hidden: [0, 3], weight: [6, 3], labels: [0] }, labels: () => 0, chunk: 2 },
  {
    shapes: { hidden: [9, 21], weight: [35, 21], labels: [9], scale: [35, 1] },
    labels: (i: number) => (i % 4 === 0 ? -100 : (i * 31) % 35),
    chunk: 4,
  },
  {
    shapes: { hidden: [150, 32], weight: [72, 32], labels: [150], scale: [72, 1] },
    labels: (i: number) => (i % 5 === 0 ? -100 : (i * 31) % 72),
    chunk: 1024,
  },
].map(({ shapes, half, labels, chunk }) => ({
  shapes,
  dtypes: {
    labels: 'i32' as const,
    ...(half && { weight: 'f16' as const }),
    ...('scale' in shapes && { weight: 'u8' as const }),
  },
  ranges: { ...('scale' in shapes && { weight: [0, 256] as const }) },
  values: { labels, ...('scale' in shapes && { scale: (i: number) => 2 ** -(9 + (i % 3)) }) },
  attrs: { ignoreIndex: -100, chunk },
}));

/**
 * The record behind `headCrossEntropy`: [loss, dLoss/dHidden, dLoss/dWeight], where gradients are made in the forward pass, chunk by chunk,
 * and only those that are read.
 */
export const headCrossEntropyOp: Op<
  'head_cross_entropy',
  HeadInputs,
  HeadOptional,
  HeadCrossEntropyAttrs,
  readonly [Spec, Spec, Spec]
> = defineOp({
  name: 'head_cross_entropy',
  inputs: ['hidden', 'weight', 'labels'],
  optional: ['scale'],
  infer,
  vjp: ({ weight, scale, outs: [, dHidden, dWeight], dys }) => {
    if (dys[1] || dys[2])
      throw new PeftError(
        'bad-program',
        'headCrossEntropy: its gradients cannot be differentiated again; differentiate the loss only',
      );
    const hidden = mul(dys[0]!, dHidden!);
    return scale ? { hidden } : { hidden, weight: cast(mul(dys[0]!, dWeight!), { dtype: weight.dtype }) };
  },
  reference: (values, specs, { ignoreIndex }) => {
    const { hidden } = values;
    const size = specs.weight.shape as [number, number];
    const dim = size[1];
    const weight = headWeight(values, dim);
    const dHidden = new Float64Array(hidden.length);
    const dWeight = new Float64Array(weight.length);
    const labelled = [...labelledRows({ ...values, weight }, size, ignoreIndex)];
    for (const { row, dLogits } of labelled)
      dLogits.forEach((gradient, v) => {
        const dLogit = gradient / labelled.length;
        for (let d = 0; d < dim; d++) {
          dHidden[row * dim + d]! += dLogit * weight[v * dim + d]!;
          dWeight[v * dim + d]! += dLogit * hidden[row * dim + d]!;
        }
      });
    const total = labelled.reduce((sum, { loss }) => sum + loss, 0);
    return [Float64Array.of(labelled.length > 0 ? total / labelled.length : 0), dHidden, dWeight];
  },
  flops: ({ hidden, weight }, _, isUsed) => {
    const products = 1 + Number(isUsed(1)) + Number(isUsed(2));
    return hidden.shape[0]! * weight.shape[0]! * (2 * products * hidden.shape[1]! + 6);
  },
  samples: headSamples,
});

/** How labels are read and how much of the logits exists at a time. */
export interface HeadCrossEntropyOptions {
  /** The label that means none. Default −100. */
  readonly ignoreIndex?: number;
  /**
   * Rows of logits at a time, at most; the WebGPU executor takes fewer where that many would exceed 32 MiB, the cpu executor more where
   * that would be over 64 times. Default 1024.
   */
  readonly chunk?: number;
}

/** The scales of a weight of codes. */
export interface HeadScale {
  readonly scale?: Tensor | null;
}

/**
 * Mean cross-entropy of softmax(hidden · weightᵀ) against labels, over the rows that have a label; 0 when none has. hidden [rows, dim],
 * weight [vocabulary, dim], labels i32 [rows]; `ignoreIndex` and any label outside [0, vocabulary) mean none. The logits of all rows never exist.
 * After Wijmans et al., 2024 (Cut Your Losses). https://arxiv.org/abs/2411.09009. `weight` may be
 * f16, which is read as it is stored; or u8, codes of 8 bits in two's complement with the `scale` f32 [vocabulary, 1] of each row: it has no gradient, and an executor may round rows of what it multiplies to 15 bits.
 * Throws `bad-shape`, `bad-dtype`, `bad-option`.
 */
export const headCrossEntropy = (
  hidden: Tensor,
  weight: Tensor,
  labels: Tensor,
  { ignoreIndex = -100, chunk = 1024, scale = null }: HeadCrossEntropyOptions & HeadScale = {},
): Tensor => headCrossEntropyOp(hidden, weight, labels, scale, { ignoreIndex, chunk })[0];
