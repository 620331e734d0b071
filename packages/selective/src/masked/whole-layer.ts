import { type Scope, zeros } from '@peftjs/core';
import { add, type Variable } from '@peftjs/tensor';
import { affine, type Linear } from '@peftjs/transformer';

/** A layer all of whose weights are trained, and their change. */
export interface WholeLayer {
  readonly layer: Linear;
  /** [outDim, inDim] */
  readonly change: Variable;
}

/** y = (W + Δ)·x + b, Δ [outDim, inDim] trained, from 0. The base's weight stays as it is stored, in any format. */
export const wholeLayer = (base: Linear, own: Scope): WholeLayer => {
  const change = own.param('weight_change', [base.outDim, base.inDim], zeros);
  const layer: Linear = {
    ...base,
    apply: (x, call) => add(base.apply(x, call), affine(x, { weight: change, bias: null })),
    dense: () => {
      const { weight, bias } = base.dense();
      return { weight: add(weight, change), bias };
    },
  };
  return { layer, change };
};
