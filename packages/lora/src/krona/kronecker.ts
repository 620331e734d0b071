import { kaimingUniform, type Scope, zeros } from '@peftjs/core';
import { matmul, mul, PeftError, reshape, type Tensor, transpose } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import type { Delta } from '../add-delta.ts';

/** The product of one layer. */
export interface KroneckerOptions {
  /** The shape of A; 0 for what is left to the layer. */
  readonly rows: number;
  readonly columns: number;
  readonly scale: number;
  readonly dropout: number;
}

/** The divisor of a size next to its root: from above, or from below. */
const nearRoot = (size: number, above: boolean): number => {
  let below = Math.floor(Math.sqrt(size));
  while (size % below !== 0) below--;
  return above ? size / below : below;
};

/** A divisor of a size that was asked for, or the one by default. */
const divisor = (name: string, path: Path, size: number, asked: number, above: boolean): number => {
  if (asked === 0) return nearRoot(size, above);
  if (size % asked === 0) return asked;
  throw new PeftError(
    'bad-option',
    `${name}: ${above ? 'rows' : 'columns'} ${asked} of A must divide the ${above ? 'outputs' : 'inputs'} of ${path}, ${size}`,
  );
};

/** x·(A ⊗ B)ᵀ without the product: A [rows, columns], B [height, width], x [..., columns·width] -> [..., rows·height]. */
const applied = (x: Tensor, a: Tensor, b: Tensor): Tensor => {
  const [columns, width] = [a.shape[1]!, b.shape[1]!];
  const lead = x.shape.slice(0, -1);
  const all = lead.reduce((product, d) => product * d, 1);
  const inner = matmul(reshape(x, [all, columns, width]), b, { transposeB: true }); // [all, columns, height]
  const outer = matmul(transpose(inner, [0, 2, 1]), a, { transposeB: true }); // [all, height, rows]
  return reshape(transpose(outer, [0, 2, 1]), [...lead, a.shape[0]! * b.shape[0]!]);
};

/**
 * ΔW = scale·A ⊗ B of shape [out, in], with its factors: A [rows, columns] from
 * U(−1/√columns, 1/√columns), B [out/rows, in/columns] zero. By default A has
 * as many rows as the divisor of `out` next to its root from above, and as many columns as that of `in` from below, so that both factors are of
 * about the same, least size. Throws `bad-option` where the sizes do not divide.
 */
export const kronecker = (
  name: string,
  own: Scope,
  path: Path,
  [outDim, inDim]: readonly [number, number],
  { scale, dropout, ...shape }: KroneckerOptions,
): Delta => {
  const rows = divisor(name, path, outDim, shape.rows, true);
  const columns = divisor(name, path, inDim, shape.columns, false);
  const [height, width] = [outDim / rows, inDim / columns];
  const a = own.param('krona_A', [rows, columns], kaimingUniform);
  const b = own.param('krona_B', [height, width], zeros);
  return {
    // Scaled where there is least: the factor.
    apply: (x) => applied(own.dropout(x, dropout), a, mul(b, scale)),
    dense: () => {
      const product = mul(reshape(a, [rows, 1, columns, 1]), reshape(b, [1, height, 1, width]));
      return mul(reshape(product, [outDim, inDim]), scale);
    },
  };
};
