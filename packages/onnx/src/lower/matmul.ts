import { sizeOf } from '@peftjs/tensor';
import type { Emitter, Value } from './emitter.ts';
import type { Rule } from './rule.ts';
import { range } from './shape.ts';

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

/** Values of a matrix in f16 that are widened at a time: 8 MiB of them in f32. */
const mostWidened = 2 ** 21;

/** Rows of the blocks that a matrix is widened in: alike, where its height allows it, since memory is used again for values of the same shape. */
const blockHeight = (height: number, width: number): number => {
  const least = Math.ceil((height * width) / mostWidened);
  for (let blocks = least; blocks <= 2 * least; blocks++) if (height % blocks === 0) return height / blocks;
  return Math.ceil(height / least);
};

/**
 * x·Wᵀ or, not `transposeB`, x·W of a matrix W that is stored as f16. Each product widens for itself, when x is there, so that W is in f32 only as
 * long as one product takes. A large W, such as a head over a vocabulary, is never whole in f32: it is widened in
 * blocks of rows, and x·Wᵀ is the blocks' products side by side, x·W their sum.
 */
const productByHalf = (g: Emitter, x: Value, weight: Value, options: ProductOptions): Value => {
  const [height, width] = weight.shape as readonly [number, number];
  if (height * width <= mostWidened || g.sizesAreFree || options.transposeA || weight.shape.length !== 2)
    return product(g, x, g.widened(weight), options);
  const axis = x.shape.length - 1;
  const size = blockHeight(height, width);
  const parts: Value[] = [];
  for (let from = 0; from < height; from += size) {
    const to = Math.min(height, from + size);
    const own = options.transposeB ? x : range(g, x, axis, from, to);
    parts.push(
      product(
        g,
        own,
        g.widened(g.copy('Slice', [weight, g.ints([from]), g.ints([to]), g.ints([0])], [to - from, width])),
        options,
      ),
    );
  }
  if (options.transposeB) return g.node('Concat', parts, [...x.shape.slice(0, -1), height], { axis });
  return parts.reduce((sum, part) => g.node('Add', [sum, part], sum.shape));
};

/** `product`, its right side as it is stored: f32 or f16. */
export const productBy = (g: Emitter, x: Value, weight: Value, options: ProductOptions = {}): Value =>
  weight.type === 'float16' ? productByHalf(g, x, weight, options) : product(g, x, weight, options);

/** One matrix on the right of many rows is one product. */
export const matmul: Rule<'a' | 'b', { readonly transposeA?: boolean; readonly transposeB?: boolean }> = (
  { g, a, b, out },
  attrs,
) => {
  if (sizeOf(a.shape) === 0) return g.zeros(out);
  const shared = !attrs.transposeA && a.shape.length > 2 && sizeOf(b.shape.slice(0, -2)) === 1;
  return shared
    ? g.reshape(productBy(g, rows(g, a), g.reshape(b, b.shape.slice(-2)), attrs), out.shape)
    : productBy(g, a, b, attrs);
};
