import type { Architecture } from './architecture.ts';

/** How many heads the rows of a tensor are of, where a file has them ordered by pairs; null where it has not. */
export const headsOf = (
  { pairedRows = false }: Architecture,
  json: Readonly<Record<string, unknown>>,
  name: string,
): number | null => {
  if (!pairedRows) return null;
  if (/\.q_proj\.(weight|bias)$/.test(name)) return Number(json['num_attention_heads']);
  return /\.k_proj\.(weight|bias)$/.test(name) ? Number(json['num_key_value_heads']) : null;
};

/** Rows of a matrix in another order: `from` tells which row of the old one is a row of the new. */
const reordered = <T extends Uint8Array | Float32Array>(values: T, rows: number, from: (row: number) => number): T => {
  const width = values.length / rows;
  const out = values.slice() as T;
  for (let row = 0; row < rows; row++)
    out.set(values.subarray(from(row) * width, (from(row) + 1) * width) as T & Uint8Array & Float32Array, row * width);
  return out;
};

/** Rows by halves of each head, as here, of rows by pairs, as llama.cpp has them: row (head, half, i) is (head, i, half) of the file. */
export const byHalves = <T extends Uint8Array | Float32Array>(values: T, rows: number, heads: number): T => {
  const half = rows / heads / 2;
  return reordered(values, rows, (row) => {
    const [head, inHead] = [Math.floor(row / (2 * half)), row % (2 * half)];
    return head * 2 * half + (inHead % half) * 2 + Math.floor(inHead / half);
  });
};

/** The other way: rows by pairs of rows by halves. */
export const inPairs = <T extends Uint8Array | Float32Array>(values: T, rows: number, heads: number): T => {
  const half = rows / heads / 2;
  return reordered(values, rows, (row) => {
    const [head, inHead] = [Math.floor(row / (2 * half)), row % (2 * half)];
    return head * 2 * half + (inHead % 2) * half + Math.floor(inHead / 2);
  });
};
