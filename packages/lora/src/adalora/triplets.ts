import { type Chosen, normal, type Scope, zeros } from '@peftjs/core';
import { matmul, mul, reshape, type Variable } from '@peftjs/tensor';
import type { Linear, Path } from '@peftjs/transformer';
import type { Delta } from '../add-delta.ts';
import type { AdaloraOptions } from './options.ts';

/** ΔW = scale·B·(A∘E) of a layer: row i of A, column i of B and E[i] are a triplet. */
export interface Triplets extends Delta {
  readonly scope: Scope;
  readonly rank: number;
  /** [rank, in] */
  readonly a: Variable;
  /** [out, rank] */
  readonly b: Variable;
  /** [rank, 1] */
  readonly e: Variable;
}

/** The triplets of one layer: all, or those that an allocation kept. */
export const triplets = (base: Linear, own: Scope, path: Path, options: Chosen<AdaloraOptions>): Triplets => {
  const kept = options.kept[`${path}.lora_E`];
  const rank = kept ? kept.filter(Boolean).length : options.rank;
  const make = rank > 0 ? own.param : own.buffer; // a layer of no rank has nothing to train
  const a = make('lora_A', [rank, base.inDim], normal(0.02));
  const e = make('lora_E', [rank, 1], zeros);
  const b = make('lora_B', [base.outDim, rank], normal(0.02));
  // Of the first rank, also once there are fewer; Hugging Face PEFT adds the 1e-5.
  const alpha = options.alpha > 0 ? options.alpha : options.rank;
  const scale = alpha / (options.rank + 1e-5);
  return {
    scope: own,
    rank,
    a,
    b,
    e,
    apply: (x) => {
      const low = mul(matmul(own.dropout(x, options.dropout), a, { transposeB: true }), reshape(e, [rank]));
      return mul(matmul(low, b, { transposeB: true }), scale);
    },
    dense: () => mul(matmul(b, mul(a, e)), scale),
  };
};
