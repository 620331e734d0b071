import { defineOp, type Op } from '../define-op.ts';
import { PeftError } from '../error.ts';
import { sameShape, shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { gather } from './gather.ts';

const row = { index: 'i32' } as const;

/**
 * Rows summed where their index says: values [...index, ...rest] and an i32 index give [rows, ...rest], zeros where nothing arrives. Rows
 * with an index outside [0, rows) are dropped. The gradient of `gather`. Rows are added in the order in which they come, on every
 * executor alike. Throws `bad-shape` unless the values' shape begins with the index's, `bad-dtype`, `bad-option` for a bad count of rows.
 */
export const scatterAdd: Op<'scatter_add', readonly ['values', 'index'], readonly [], { readonly rows: number }> =
  defineOp({
    name: 'scatter_add',
    inputs: ['values', 'index'],
    infer: ({ values, index }, { rows }) => {
      accepts('scatterAdd', 'values', values, ['f32']);
      accepts('scatterAdd', 'index', index, ['i32']);
      if (!Number.isSafeInteger(rows) || rows < 0)
        throw new PeftError('bad-option', `scatterAdd: rows is ${rows}, expected a non-negative integer`);
      const rank = index.shape.length;
      if (!sameShape(values.shape.slice(0, rank), index.shape))
        throw shapeError('scatterAdd', [values, index], "the values' shape must begin with the index's");
      return { shape: [rows, ...values.shape.slice(rank)], dtype: values.dtype };
    },
    vjp: ({ index, dy }) => ({ values: gather(dy, index) }),
    reference: ({ values, index }, specs, { rows }) => {
      const width = sizeOf(specs.out.shape.slice(1));
      const out = new Float64Array(rows * width);
      index.forEach((r, i) => {
        if (r < 0 || r >= rows) return;
        for (let c = 0; c < width; c++) out[r * width + c]! += values[i * width + c]!;
      });
      return out;
    },
    flops: ({ values }) => sizeOf(values.shape),
    samples: [
      { shapes: { values: [2, 70, 5], index: [2, 70] }, attrs: { rows: 11 }, dtypes: row, ranges: { index: [0, 11] } },
      { shapes: { values: [4, 33], index: [4] }, attrs: { rows: 300 }, dtypes: row, ranges: { index: [0, 300] } },
      { shapes: { values: [9], index: [9] }, attrs: { rows: 3 }, dtypes: row, ranges: { index: [-2, 5] } },
      { shapes: { values: [3], index: [] }, attrs: { rows: 2 }, dtypes: row, ranges: { index: [0, 2] } },
      { shapes: { values: [0, 2], index: [0] }, attrs: { rows: 3 }, dtypes: row },
      { shapes: { values: [2, 3], index: [2] }, attrs: { rows: 0 }, dtypes: row },
    ],
  });
