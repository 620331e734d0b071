import { sizeOf } from '@peftjs/tensor';
import type { Emitter, Value } from './emitter.ts';
import type { Rule } from './rule.ts';

/** Which sides are stored transposed, and a factor of the product. */
export interface ProductOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly scale?: number;
}

/** scale · a · b over the last two axes, either side transposed as it is read, so no transposed copy is made; leading axes broadcast. */
export const product = (
  g: Emitter,
  a: Value,
  b: Value,
  { transposeA = false, transposeB = false, scale = 1 }: ProductOptions = {},
): Value => {
  const [m, n] = [a.shape.at(transposeA ? -1 : -2)!, b.shape.at(transposeB ? -2 : -1)!];
  const rank = Math.max(a.shape.length, b.shape.length) - 2;
  const leading = Array.from({ length: rank }, (_, i) => {
    const [left, right] = [a, b].map(({ shape }) => shape.slice(0, -2)[i - rank + shape.length - 2] ?? 1) as [
      number,
      number,
    ];
    return left === 1 ? right : left;
  });
  return g.node('com.microsoft.FusedMatMul', [a, b], [...leading, m, n], {
    transA: Number(transposeA),
    transB: Number(transposeB),
    alpha: { float: scale },
  });
};

/** The rows of all leading axes under each other. */
export const rows = (g: Emitter, x: Value): Value => g.reshape(x, [sizeOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);

/** One matrix on the right of many rows is one product. */
export const matmul: Rule<'a' | 'b', { readonly transposeA?: boolean; readonly transposeB?: boolean }> = (
  { g, a, b, out },
  attrs,
) => {
  if (sizeOf(a.shape) === 0) return g.zeros(out);
  const shared = !attrs.transposeA && a.shape.length > 2 && sizeOf(b.shape.slice(0, -2)) === 1;
  return shared
    ? g.reshape(product(g, rows(g, a), g.reshape(b, b.shape.slice(-2)), attrs), out.shape)
    : product(g, a, b, attrs);
};
