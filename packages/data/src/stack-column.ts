import { type Shape, sizeOf, type TypedArray } from '@peftjs/tensor';
import { kindOf } from './words.ts';

/** How a column is stacked. */
export interface StackOptions {
  /** Its shape in a row; a list where none is given. */
  readonly shape: Shape | undefined;
  /** The value that fills up lists that are shorter than others. */
  readonly pad: number | undefined;
  readonly multipleOf: number;
}

/** A column of several rows, or what is wrong with one of them. */
export type Stacked =
  | { readonly data: TypedArray; readonly shape: Shape }
  | { readonly problem: string; readonly row: number };

/** The values of one column of several rows in one array. */
export const stackColumn = (
  name: string,
  rows: readonly TypedArray[],
  { shape, pad, multipleOf }: StackOptions,
): Stacked => {
  const kind = rows[0]!.constructor as new (size: number) => TypedArray;
  const longest = rows.reduce((most, row) => Math.max(most, row.length), 0);
  const own = shape ?? [Math.ceil(longest / multipleOf) * multipleOf];
  const size = sizeOf(own);
  for (const [i, row] of rows.entries()) {
    const problem = (text: string): Stacked => ({ problem: `${name} ${text}`, row: i });
    if (!(row instanceof kind)) return problem(`is ${kindOf(row)}, in the rows before it ${kindOf(rows[0])}`);
    if (shape && row.length !== size) return problem(`has ${row.length} values, its shape [${shape}] has ${size}`);
    if (row.length === 0) return problem('is empty');
    if (row.length !== size && pad === undefined)
      return problem(
        `has ${row.length} values, a row of this batch ${size}; give \`pad: { ${name}: … }\` to fill it up, or its shape in \`shapes\``,
      );
  }
  if (pad !== undefined && !Number.isInteger(pad) && !(rows[0] instanceof Float32Array))
    return { problem: `${name} is filled up with ${pad}, and holds whole numbers`, row: 0 };
  const data = new kind(rows.length * size);
  if (pad !== undefined) data.fill(pad);
  for (const [i, row] of rows.entries()) data.set(row, i * size);
  return { data, shape: [rows.length, ...own] };
};
