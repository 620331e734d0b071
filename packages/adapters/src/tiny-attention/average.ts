import type { State } from '@peftjs/core';
import type { TinySizes } from './heads.ts';

/** A matrix of doubles, row by row. */
interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

const matrix = (rows: number, columns: number, at: (row: number, column: number) => number): Matrix => {
  const data = Float64Array.from({ length: rows * columns }, (_, i) => at(Math.floor(i / columns), i % columns));
  return { rows, columns, data };
};

const product = (a: Matrix, b: Matrix): Matrix =>
  matrix(a.rows, b.columns, (row, column) => {
    let sum = 0;
    for (let i = 0; i < a.columns; i++) sum += a.data[row * a.columns + i]! * b.data[i * b.columns + column]!;
    return sum;
  });

/**
 * The heads of one layer averaged to one. With Q_n, K_n, V_n [D, d] and O_n [d, D] of each of H heads, all its projections multiplied out, the layer
 * gives Σ_n O_n·head_n(x), the mean of H experts with H·O_n; the mean expert has the means of Q_n, K_n, V_n and of H·O_n, which is Σ_n O_n. Where
 * all heads are the same nothing changes.
 */
export const averageHeads = (layer: State, { hiddenSize: d, heads, headDim }: TinySizes): State => {
  const e = heads * headDim;
  const of = (name: string, rows: number, columns: number, from = 0): Matrix => {
    const { data } = layer.get(name)!;
    return matrix(rows, columns, (row, column) => data[(from + row) * columns + column]!);
  };
  /** Of queries, keys or values: all heads' rows of projection and bias, multiplied out; then their mean. */
  const mean = (i: number): readonly [weight: Matrix, bias: Matrix] => {
    const inner = of('attention.in_proj_weight', e, e, i * e);
    const weight = product(inner, of('linear1.weight', e, d, i * e));
    const shift = product(inner, of('linear1.bias', e, 1, i * e));
    const bias = of('attention.in_proj_bias', e, 1, i * e);
    const over = (m: Matrix): Matrix =>
      matrix(headDim, m.columns, (row, column) => {
        let sum = 0;
        for (let n = 0; n < heads; n++) sum += m.data[(n * headDim + row) * m.columns + column]!;
        return sum / heads;
      });
    return [over(weight), over(matrix(e, 1, (row) => shift.data[row]! + bias.data[row]!))];
  };
  const parts = [mean(0), mean(1), mean(2)];
  const last = of('linear2.weight', d, e);
  const out = product(last, of('attention.out_proj.weight', e, e));
  const outBias = product(last, of('attention.out_proj.bias', e, 1));
  const summed = matrix(d, headDim, (row, column) => {
    let sum = 0;
    for (let n = 0; n < heads; n++) sum += out.data[row * e + n * headDim + column]!;
    return sum;
  });
  const tensor = (shape: readonly number[], data: ArrayLike<number>) => ({ shape, data: Float32Array.from(data) });
  const joined = (all: readonly Matrix[]): Float64Array => Float64Array.from(all.flatMap(({ data }) => [...data]));
  const identity = (row: number, column: number): number => Number(row % headDim === column);
  return new Map([
    ['norm.weight', layer.get('norm.weight')!],
    ['norm.bias', layer.get('norm.bias')!],
    ['linear1.weight', tensor([3 * headDim, d], joined(parts.map(([weight]) => weight)))],
    ['linear1.bias', tensor([3 * headDim], joined(parts.map(([, bias]) => bias)))],
    ['attention.in_proj_weight', tensor([3 * headDim, headDim], matrix(3 * headDim, headDim, identity).data)],
    ['attention.in_proj_bias', tensor([3 * headDim], new Float64Array(3 * headDim))],
    ['attention.out_proj.weight', tensor([headDim, headDim], matrix(headDim, headDim, identity).data)],
    ['attention.out_proj.bias', tensor([headDim], new Float64Array(headDim))],
    ['linear2.weight', tensor([d, headDim], summed.data)],
    [
      'linear2.bias',
      tensor(
        [d],
        layer.get('linear2.bias')!.data.map((b, i) => b + outBias.data[i]!),
      ),
    ],
  ]);
};
