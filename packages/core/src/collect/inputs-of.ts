import { type DType, input, type TypedArray } from '@peftjs/tensor';
import type { Inputs } from '@peftjs/transformer';
import type { Examples } from '../method.ts';

const dtypeOf = (values: TypedArray): DType => (values instanceof Float32Array ? 'f32' : 'i32');

/** The columns of a batch as inputs of a graph, by name. */
export const inputsOf = ({ columns, shapes }: Examples): Inputs =>
  Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name, input(name, shapes[name]!, dtypeOf(values))]),
  );
