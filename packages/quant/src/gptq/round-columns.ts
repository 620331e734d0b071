import { inverseFactor } from './inverse-factor.ts';

/** A matrix [rows, columns] rounded by GPTQ: codes, and scale and zero point of each group of a row. Columns and groups are in `order`. */
export interface Rounded {
  readonly codes: Uint8Array;
  readonly scale: Float32Array;
  readonly zeros: Uint8Array;
  /** The column of W that stands at each place; null where they are in their own order. */
  readonly order: Int32Array | null;
}

/** How columns are rounded. */
export interface Rounding {
  readonly bits: number;
  readonly groupSize: number;
  /** Columns by their share of H, the largest first. */
  readonly actOrder: boolean;
  /** A share of the mean of H's diagonal, added to it. */
  readonly damping: number;
}

/** Scale and zero point from the least to the largest value of a row's group, 0 among them. */
const rangeOf = (
  w: Float64Array,
  from: number,
  to: number,
  most: number,
): { readonly scale: number; readonly zero: number } => {
  let [least, largest] = [0, 0];
  for (let i = from; i < to; i++) {
    least = Math.min(least, w[i]!);
    largest = Math.max(largest, w[i]!);
  }
  const scale = Math.fround((largest - least) / most);
  return scale > 0 ? { scale, zero: Math.round(-least / scale) } : { scale: 0, zero: 0 };
};

/** Columns of a matrix in an order. */
const inOrder = (m: ArrayLike<number>, columns: number, order: Int32Array): Float64Array =>
  Float64Array.from({ length: m.length }, (_, i) => m[i - (i % columns) + order[i % columns]!]!);

/**
 * Rounds W [rows, columns] to whole numbers so that W·X stays near, for H = Σ xxᵀ [columns, columns]: column by column, what rounding took is spread over the columns that are left,
 * w −= (w − q) / U[i, i] · U[i, i:] with H⁻¹ = UᵀU; ranges of a group are taken when its first column is reached. Columns that no input reaches are 0.
 * Frantar, Ashkboos, Hoefler & Alistarh, 2022 (algorithm 1). https://arxiv.org/abs/2210.17323; as https://github.com/IST-DASLab/gptq has it.
 */
export const roundColumns = (
  who: string,
  weight: ArrayLike<number>,
  products: ArrayLike<number>,
  rows: number,
  { bits, groupSize, actOrder, damping }: Rounding,
): Rounded => {
  const columns = weight.length / rows;
  const diagonal = Float64Array.from({ length: columns }, (_, i) => products[i * columns + i]!);
  const order = actOrder
    ? Int32Array.from({ length: columns }, (_, i) => i).sort((a, b) => diagonal[b]! - diagonal[a]! || a - b)
    : Int32Array.from({ length: columns }, (_, i) => i);
  const isDead = (place: number): boolean => diagonal[order[place]!] === 0;
  const added = (damping * diagonal.reduce((sum, v) => sum + (v === 0 ? 1 : v), 0)) / columns;
  const h = Float64Array.from({ length: columns * columns }, (_, i) => {
    const [a, b] = [Math.floor(i / columns), i % columns];
    const value = products[order[a]! * columns + order[b]!]!;
    return a === b ? (isDead(a) ? 1 : value) + added : value;
  });
  const u = inverseFactor(h, columns, who);
  const w = inOrder(weight, columns, order);
  const [most, groups] = [2 ** bits - 1, Math.ceil(columns / groupSize)];
  const codes = new Uint8Array(rows * columns);
  const [scale, zeros] = [new Float32Array(rows * groups), new Uint8Array(rows * groups)];
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    for (let i = 0; i < columns; i++) if (isDead(i)) w[start + i] = 0;
    for (let i = 0; i < columns; i++) {
      const group = row * groups + Math.floor(i / groupSize);
      if (i % groupSize === 0) {
        const range = rangeOf(w, start + i, start + Math.min(i + groupSize, columns), most);
        [scale[group], zeros[group]] = [range.scale, range.zero];
      }
      const [s, zero, value] = [scale[group]!, zeros[group]!, w[start + i]!];
      const code = s > 0 ? Math.max(0, Math.min(most, Math.round(value / s) + zero)) : zero;
      codes[start + i] = code;
      const error = (value - s * (code - zero)) / u[i * columns + i]!;
      for (let j = i; j < columns; j++) w[start + j]! -= error * u[i * columns + j]!;
    }
  }
  return { codes, scale, zeros, order: actOrder ? order : null };
};
