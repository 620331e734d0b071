import { add, concatAll, div, matmul, mul, reshape, sub, type Tensor, type Variable, variable } from '@peftjs/tensor';
import type { LaplaceBlock } from './posterior.ts';

/** A block on the device. */
export interface BlockTensors {
  /** u, [kept, in] */
  readonly inputs: Variable;
  /** v, [kept, out] */
  readonly outputs: Variable;
  /** 1/√(λμ + δ) by v and u, [1, 1, kept · kept] */
  readonly deviations: Variable;
  /** δ, where there are directions that were not kept; else null. */
  readonly beyond: number | null;
}

/** Brings a block to a device, with the prior's δ. */
export const blockTensors = (name: string, { inputs, outputs }: LaplaceBlock, delta: number): BlockTensors => {
  const [i, o] = [inputs.values.length, outputs.values.length];
  const deviations = Float32Array.from(
    { length: o * i },
    (_, k) => 1 / Math.sqrt(outputs.values[Math.floor(k / i)]! * inputs.values[k % i]! + delta),
  );
  return {
    inputs: variable(`${name}.inputs`, [i, inputs.side], inputs.vectors),
    outputs: variable(`${name}.outputs`, [o, outputs.side], outputs.vectors),
    deviations: variable(`${name}.deviations`, [1, 1, o * i], deviations),
    beyond: i < inputs.side || o < outputs.side ? delta : null,
  };
};

/** Inputs [batch, rows, in] of a matrix, and by class the gradients of the logits by its outputs, [batch, rows, out] each. */
export interface MatrixUse {
  readonly x: Tensor;
  readonly slopes: readonly Tensor[];
}

const crossed = (t: Tensor): Tensor => matmul(t, t, { transposeB: true });

/** By class the gradient of the logit by the matrix, in directions of outputs and inputs (those of the axes where null), [batch, classes, out · in]. */
const jacobian = (uses: readonly MatrixUse[], along: BlockTensors | null): Tensor => {
  const turned = (t: Tensor, by: Variable | undefined): Tensor => (by ? matmul(t, by, { transposeB: true }) : t);
  const sums = uses.map(({ x, slopes }) => {
    const seen = turned(x, along?.inputs);
    return slopes.map((slope) => matmul(turned(slope, along?.outputs), seen, { transposeA: true }));
  });
  const byClass = sums.reduce((one, other) => one.map((t, k) => add(t, other[k]!)));
  return concatAll(
    byClass.map((t) => reshape(t, [t.shape[0]!, 1, t.shape[1]! * t.shape[2]!])),
    1,
  );
};

/** J·P⁻¹·Jᵀ of one matrix: what its uncertainty adds to the covariance of the logits, [batch, classes, classes]. Of directions that were not kept P is δ·I. */
export const covarianceOf = (uses: readonly MatrixUse[], block: BlockTensors): Tensor => {
  const kept = jacobian(uses, block);
  const within = crossed(mul(kept, block.deviations));
  if (block.beyond === null) return within;
  return add(within, div(sub(crossed(jacobian(uses, null)), crossed(kept)), block.beyond));
};
