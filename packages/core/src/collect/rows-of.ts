import type { TypedArray } from '@peftjs/tensor';
import type { Examples } from '../method.ts';

/** Each row of a batch as a batch of its own. */
export const rowsOf = ({ rows, columns, shapes }: Examples): Examples[] =>
  Array.from({ length: rows }, (_, i) => {
    const ofRow = (values: TypedArray): TypedArray => {
      const size = values.length / rows;
      return values.subarray(i * size, (i + 1) * size);
    };
    return {
      rows: 1,
      columns: Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, ofRow(values)])),
      shapes: Object.fromEntries(Object.entries(shapes).map(([name, [, ...rest]]) => [name, [1, ...rest]])),
    };
  });
