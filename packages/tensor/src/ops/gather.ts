import { defineOp, type Op } from '../define-op.ts';
import { shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { scatterAdd } from './scatter-add.ts';

const row = { index: 'i32' } as const;

/**
 * Rows of a table [rows, ...rest] by an i32 index of any shape: [...index, ...rest]. An index outside [0, rows) yields zeros, and its
 * gradient goes nowhere. Throws `bad-shape` for a scalar table, `bad-dtype` for an index that is not i32.
 */
export const gather: Op<'gather', readonly ['table', 'index']> = defineOp({
  name: 'gather',
  inputs: ['table', 'index'],
  infer: ({ table, index }) => {
    accepts('gather', 'index', index, ['i32']);
    if (table.shape.length === 0) throw shapeError('gather', [table, index], 'the table must have at least one axis');
    return { shape: [...index.shape, ...table.shape.slice(1)], dtype: table.dtype };
  },
  vjp: ({ table, index, dy }) => ({ table: scatterAdd(dy, index, { rows: table.shape[0]! }) }),
  reference: ({ table, index }, specs) => {
    const width = sizeOf(specs.table.shape.slice(1));
    const out = new Float64Array(sizeOf(specs.out.shape));
    index.forEach((r, i) => {
      if (r >= 0 && r < specs.table.shape[0]!) out.set(table.subarray(r * width, (r + 1) * width), i * width);
    });
    return out;
  },
  flops: () => 0,
  samples: [
    { shapes: { table: [11, 5], index: [2, 7] }, dtypes: row, ranges: { index: [0, 11] } },
    { shapes: { table: [4, 2, 33], index: [] }, dtypes: row, ranges: { index: [0, 4] } },
    { shapes: { table: [300], index: [70] }, dtypes: row, ranges: { index: [0, 300] } },
    { shapes: { table: [3, 2], index: [9] }, dtypes: row, ranges: { index: [-3, 6] } },
    { shapes: { table: [3, 2], index: [0] }, dtypes: row },
    { shapes: { table: [0, 2], index: [2] }, dtypes: row, ranges: { index: [0, 1] } },
    { shapes: { table: [5, 3], index: [3] }, dtypes: { index: 'i32', table: 'f16' }, ranges: { index: [0, 5] } },
    ...[8, 5].map((width) => ({
      shapes: { table: [6, width], index: [2, 3] },
      dtypes: { index: 'i32', table: 'u8' } as const,
      ranges: { index: [0, 6], table: [0, 256] } as const,
    })),
    {
      shapes: { table: [5], index: [4] },
      dtypes: { index: 'i32', table: 'u32' },
      ranges: { index: [0, 5], table: [0, 99] },
    },
  ],
});
