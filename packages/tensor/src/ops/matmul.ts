import { defineOp, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { broadcastShapes, type Spec, shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { cast } from './cast.ts';
import { matmulSamples } from './matmul-samples.ts';
import { reshape } from './reshape.ts';
import { broadcastIndex } from './strided-index.ts';
import { unbroadcast } from './unbroadcast.ts';

/** Which sides are stored with their last two axes swapped. Default neither. */
export interface MatmulAttrs {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

interface Sides {
  readonly a: Spec;
  readonly b: Spec;
}

/** m, n and k of checked sides. */
export const matmulSizes = (
  { a, b }: Sides,
  { transposeA = false, transposeB = false }: MatmulAttrs,
): { m: number; n: number; k: number } => ({
  m: a.shape.at(transposeA ? -1 : -2)!,
  k: a.shape.at(transposeA ? -2 : -1)!,
  n: b.shape.at(transposeB ? -2 : -1)!,
});

const infer = ({ a, b }: Sides, attrs: MatmulAttrs): Spec => {
  accepts('matmul', 'a', a, ['f32', 'f16']);
  accepts('matmul', 'b', b, ['f32', 'f16']);
  if (a.shape.length < 2 || b.shape.length < 2)
    throw shapeError('matmul', [a, b], 'both must have at least two axes; reshape a vector to one row or column');
  const { m, n, k } = matmulSizes({ a, b }, attrs);
  const depth = b.shape.at(attrs.transposeB ? -1 : -2)!;
  if (k !== depth) {
    const [left, right] = [attrs.transposeA ? 'a transposed' : 'a', attrs.transposeB ? 'b transposed' : 'b'];
    throw shapeError('matmul', [a, b], `${left} has ${k} columns but ${right} has ${depth} rows; they must be equal`);
  }
  const leading = broadcastShapes(
    'matmul (axes before the last two)',
    [a, b].map(({ shape, dtype }) => ({ shape: shape.slice(0, -2), dtype })),
  );
  return { shape: [...leading, m, n], dtype: 'f32' };
};

const rowsOf = (x: Tensor): Tensor => reshape(x, [sizeOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);

/** The gradient of b. One matrix shared by a batch gets one product over all rows, not a batch of products to sum. */
const gradOfB = (a: Tensor, b: Tensor, dy: Tensor, { transposeA = false, transposeB = false }: MatmulAttrs): Tensor => {
  const shared = !transposeA && sizeOf(b.shape.slice(0, -2)) === 1;
  const [x, g] = shared ? [rowsOf(a), rowsOf(dy)] : [a, dy];
  const db = transposeB
    ? matmul(g, x, { transposeA: true, transposeB: transposeA })
    : matmul(x, g, { transposeA: !transposeA });
  return shared ? reshape(db, b.shape) : unbroadcast(db, b.shape);
};

const gradOfA = (a: Tensor, b: Tensor, dy: Tensor, { transposeA = false, transposeB = false }: MatmulAttrs): Tensor =>
  unbroadcast(
    transposeA
      ? matmul(b, dy, { transposeA: transposeB, transposeB: true })
      : matmul(dy, b, { transposeB: !transposeB }),
    a.shape,
  );

/**
 * Matrix product over the last two axes: out[.., i, j] = Σₖ a[.., i, k] · b[.., k, j]. a [..., m, k] or with `transposeA` [..., k, m],
 * b [..., k, n] or with `transposeB` [..., n, k]; leading axes broadcast. Either may be
 * f16, which is read as it is stored and computed with as f32: half the memory for weights that are not trained. Throws `bad-shape`, `bad-dtype`.
 */
export const matmul: Op<'matmul', readonly ['a', 'b'], readonly [], MatmulAttrs> = defineOp({
  name: 'matmul',
  inputs: ['a', 'b'],
  infer,
  vjp: ({ a, b, dy }, attrs) => ({
    a: cast(gradOfA(a, b, dy, attrs), { dtype: a.dtype }),
    b: cast(gradOfB(a, b, dy, attrs), { dtype: b.dtype }),
  }),
  reference: ({ a, b }, specs, attrs) => {
    const { m, n, k } = matmulSizes(specs, attrs);
    const leading = specs.out.shape.slice(0, -2);
    const [atA, atB] = [specs.a, specs.b].map(({ shape }) => broadcastIndex(shape.slice(0, -2), leading)) as [
      (i: number) => number,
      (i: number) => number,
    ];
    const [rowA, columnA] = attrs.transposeA ? [1, m] : [k, 1];
    const [rowB, columnB] = attrs.transposeB ? [1, k] : [n, 1];
    const out = new Float64Array(sizeOf(specs.out.shape));
    for (let batch = 0; batch < sizeOf(leading); batch++) {
      const [baseA, baseB, base] = [atA(batch) * m * k, atB(batch) * k * n, batch * m * n];
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let dot = 0;
          for (let d = 0; d < k; d++) dot += a[baseA + i * rowA + d * columnA]! * b[baseB + d * rowB + j * columnB]!;
          out[base + i * n + j] = dot;
        }
      }
    }
    return out;
  },
  flops: ({ a, b, out }, attrs) => 2 * sizeOf(out.shape) * matmulSizes({ a, b }, attrs).k,
  samples: matmulSamples,
});
