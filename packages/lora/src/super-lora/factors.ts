import { kaimingUniform, type Scope, zeros } from '@peftjs/core';
import { matmul, reshape, type Tensor, transpose } from '@peftjs/tensor';

/** Edges of the K tensors of a product of order M: [K][M]. */
export type Edges = readonly (readonly number[])[];

const product = (sizes: readonly number[]): number => sizes.reduce((n, d) => n * d, 1);

/** M edges, as alike as may be, the largest first, that hold so many values or a few more. */
const alike = (values: number, count: number): number[] => {
  let left = values;
  const edges = Array.from({ length: count }, (_, m) => {
    const edge = Math.ceil(left ** (1 / (count - m)) - 1e-9);
    left = Math.ceil(left / edge);
    return edge;
  });
  return edges;
};

/** A size as K factors whose product it is, each the divisor of what is left that is next to its root from below. */
const divisors = (size: number, count: number): number[] => {
  let left = size;
  return Array.from({ length: count }, (_, k) => {
    if (k === count - 1) return left;
    let edge = Math.floor(left ** (1 / (count - k)) + 1e-9);
    while (left % edge !== 0) edge--;
    left /= edge;
    return edge;
  });
};

const turned = (rows: readonly (readonly number[])[]): number[][] => rows[0]!.map((_, i) => rows.map((row) => row[i]!));

/** Edges of a matrix [out, in] that is not folded. */
export const matrixEdges = (shape: readonly [number, number], splits: number): Edges =>
  turned(shape.map((size) => divisors(size, splits)));

/** Edges of a vector that is folded to a tensor of some order, nearly a cube, which holds it. */
export const foldedEdges = (values: number, order: number, splits: number): Edges =>
  turned(alike(values, order).map((size) => alike(size, splits)));

/** C ×₁ A₁ … ×_M A_M, A [d, r]; of two matrices without a core A₁·A₂ᵀ. */
export const tucker = (core: Tensor | null, factors: readonly Tensor[]): Tensor => {
  if (!core) return matmul(factors[0]!, factors[1]!, { transposeB: true });
  const sizes = factors.map(({ shape }) => shape[0]!);
  let t = core;
  for (const factor of factors) {
    const [first, ...rest] = t.shape as readonly [number, ...number[]];
    const mixed = matmul(factor, reshape(t, [first, product(rest)])); // the first axis, which goes to the end
    t = reshape(transpose(mixed, [1, 0]), [...rest, factor.shape[0]!]);
  }
  return reshape(t, sizes);
};

/** a ⊗ b of two tensors of one order: entry i·b + j of each axis is a's i times b's j. */
export const kron = (a: Tensor, b: Tensor): Tensor => {
  const order = a.shape.length;
  const outer = matmul(reshape(a, [product(a.shape), 1]), reshape(b, [1, product(b.shape)]));
  const axes = Array.from({ length: order }, (_, m) => [m, order + m]).flat();
  return reshape(
    transpose(reshape(outer, [...a.shape, ...b.shape]), axes),
    a.shape.map((d, m) => d * b.shape[m]!),
  );
};

/** The trained tensors of one product; the last one's first factor is zero at the start, and with it the product. */
export const productOf = (
  own: Scope,
  edges: Edges,
  rank: number,
): (readonly [core: Tensor | null, factors: Tensor[]])[] =>
  edges.map((sizes, k) => {
    const isLast = k === edges.length - 1;
    const core =
      sizes.length === 2
        ? null
        : own.param(
            `superlora_C.${k}`,
            Array.from(sizes, () => rank),
            kaimingUniform,
          );
    const factors = sizes.map((size, m) =>
      own.param(`superlora_A.${k}.${m}`, [size, rank], isLast && m === 0 ? zeros : kaimingUniform),
    );
    return [core, factors] as const;
  });
