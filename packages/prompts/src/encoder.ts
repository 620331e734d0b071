import { type Init, type State, uniform } from '@peftjs/core';
import { add, constant, type Executor, evaluate, matmul, type Shape, type Tensor } from '@peftjs/tensor';

/** A tensor of an encoder by name: the variable that is trained, or values that it has. */
export type TensorsOf = (name: string, shape: Shape, init: Init) => Tensor;

/** The name of what is saved: the rows, computed. */
export const rowsName = 'prompt_embeddings';

/** x·Wᵀ + b with PyTorch's initial values, U(−1/√in, 1/√in) for both; x [rows, in]. */
export const affineOf = (tensors: TensorsOf, name: string, x: Tensor, outDim: number, weightInit?: Init): Tensor => {
  const inDim = x.shape[1]!;
  const init = weightInit ?? uniform(1 / Math.sqrt(inDim));
  const weight = tensors(`${name}.weight`, [outDim, inDim], init);
  return add(matmul(x, weight, { transposeB: true }), tensors(`${name}.bias`, [outDim], init));
};

/** The rows that an encoder computes from trained values, as the state of a method that has the rows alone. */
export const computedRows = async (
  encode: (tensors: TensorsOf) => Tensor,
  state: State,
  executor: Executor,
): Promise<State> => {
  const rows = encode((name, shape) => constant(state.get(name)!.data, shape));
  const { data } = await evaluate({ data: rows }, { executor });
  return new Map([[rowsName, { shape: rows.shape, data: data! }]]);
};
