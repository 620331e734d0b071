import { uniform } from '@peftjs/core';
import { add, concat, concatAll, constant, matmul, mul, sigmoid, slice, type Tensor, tanh } from '@peftjs/tensor';
import type { TensorsOf } from './encoder.ts';

/** The sizes of an LSTM. */
export interface LstmSizes {
  /** Width h of its state, in each direction. */
  readonly hidden: number;
  /** Layers, each over the outputs of the one before. */
  readonly layers: number;
}

const columns = (t: Tensor, start: number, end: number): Tensor => slice(t, { axis: 1, start, end });

/** One direction of a layer over rows [m, in], in their order or against it: [m, h] in their order. */
const direction = (tensors: TensorsOf, end: string, x: Tensor, hidden: number, backward: boolean): Tensor => {
  const [m, inDim] = x.shape as readonly [number, number];
  const init = uniform(1 / Math.sqrt(hidden));
  const tensor = (name: string, shape: readonly number[]): Tensor => tensors(`${name}_${end}`, shape, init);
  const fromInput = tensor('weight_ih', [4 * hidden, inDim]);
  const fromState = tensor('weight_hh', [4 * hidden, hidden]);
  const bias = add(tensor('bias_ih', [4 * hidden]), tensor('bias_hh', [4 * hidden]));
  const all = add(matmul(x, fromInput, { transposeB: true }), bias);
  let [h, c] = [constant(new Float32Array(hidden), [1, hidden]), constant(new Float32Array(hidden), [1, hidden])];
  const outputs: Tensor[] = [];
  for (let n = 0; n < m; n++) {
    const at = backward ? m - 1 - n : n;
    const z = add(slice(all, { axis: 0, start: at, end: at + 1 }), matmul(h, fromState, { transposeB: true }));
    const part = (i: number): Tensor => columns(z, i * hidden, (i + 1) * hidden);
    const [into, keep, fresh, out] = [sigmoid(part(0)), sigmoid(part(1)), tanh(part(2)), sigmoid(part(3))];
    c = add(mul(keep, c), mul(into, fresh));
    h = mul(out, tanh(c));
    outputs[at] = h;
  }
  return concatAll(outputs, 0);
};

/**
 * A bidirectional LSTM over rows [m, in]: [m, 2h], each row's state from the left and from the right. Of each step z = W·x + b + U·h + b', i, f, o = σ(z), g = tanh(z),
 * c ← f·c + i·g, h ← o·tanh(c). Tensors have PyTorch's names (`weight_ih_l0`, `…_l0_reverse`), shapes and first values, U(−1/√h, 1/√h). `between` is what happens to the outputs of a layer on
 * their way to the next. Hochreiter & Schmidhuber, 1997; as torch.nn.LSTM has it.
 */
export const lstm = (
  tensors: TensorsOf,
  x: Tensor,
  { hidden, layers }: LstmSizes,
  between: (x: Tensor) => Tensor = (y) => y,
): Tensor => {
  let rows = x;
  for (let i = 0; i < layers; i++) {
    const [forth, back] = [
      direction(tensors, `l${i}`, rows, hidden, false),
      direction(tensors, `l${i}_reverse`, rows, hidden, true),
    ];
    const both = concat(forth, back, { axis: 1 });
    rows = i < layers - 1 ? between(both) : both;
  }
  return rows;
};
