import { eachLinear, kaimingUniform, type Patch, requireOneWidth, type Scope, targeted, zeros } from '@peftjs/core';
import { add, matmul, mul, PeftError, reshape, type Tensor } from '@peftjs/tensor';
import type { Linear, Model, Path } from '@peftjs/transformer';
import type { FactChosen } from './options.ts';

/** A layer's weight as squares of the model's width: so many one above the other, and so many beside each other. */
export interface Squares {
  /** The number of its first square among those of all layers. */
  readonly first: number;
  readonly high: number;
  readonly wide: number;
}

/** The squares of the layers of a target, and how many there are in all. Throws `bad-option` for a layer that is none, `no-match`. */
const squaresOf = (
  model: Model,
  { target }: FactChosen,
  method: string,
): { readonly byPath: ReadonlyMap<Path, Squares>; readonly width: number; readonly count: number } => {
  requireOneWidth(model, method, model.main);
  const width = model.main.hiddenSize;
  const byPath = new Map<Path, Squares>();
  let count = 0;
  for (const path of targeted(model.linears.keys(), target, method)) {
    const { inDim, outDim } = model.linears.get(path)!;
    const [high, wide] = [outDim / width, inDim / width];
    if (!Number.isInteger(high) || !Number.isInteger(wide) || Math.min(high, wide) > 1)
      throw new PeftError(
        'bad-option',
        `${method}: ${path} makes ${outDim} values of ${inDim}, and its updates are squares of the width ${width} above or beside each other; leave it out of target`,
      );
    byPath.set(path, { first: count, high, wide });
    count += high * wide;
  }
  return { byPath, width, count };
};

/** The layer y = Wx + b + s·ΔW x, with each square of ΔW V·Σ·U of its own block Σ of the core [high · r, wide · r]; u [r, d], v [d, r]. */
const withUpdate = (
  base: Linear,
  own: Scope,
  { u, v, core }: { readonly u: Tensor; readonly v: Tensor; readonly core: Tensor },
  { rank, scale, dropout }: FactChosen,
): Linear => {
  const [width] = v.shape as readonly [number];
  const [high, wide] = [base.outDim / width, base.inDim / width];
  return {
    ...base,
    apply: (x, call) => {
      const lead = x.shape.slice(0, -1);
      const low = matmul(reshape(x, [...lead, wide, width]), u, { transposeB: true });
      const middle = matmul(reshape(low, [...lead, wide * rank]), core, { transposeB: true });
      const out = matmul(reshape(own.dropout(middle, dropout), [...lead, high, rank]), v, { transposeB: true });
      return add(base.apply(x, call), mul(reshape(out, [...lead, base.outDim]), scale));
    },
    dense: () => {
      const { weight, bias } = base.dense();
      const right = reshape(matmul(reshape(core, [high * rank, wide, rank]), u), [high, rank, base.inDim]);
      return { weight: add(weight, mul(reshape(matmul(v, right), weight.shape), scale)), bias };
    },
  };
};

/** The core of a layer, [high · r, wide · r]. */
export type CoreOf = (own: Scope, squares: Squares) => Tensor;

/** Updates of layers by two factors that all share, and a core of each. `coresOf` is told how many squares there are. */
export const factored = (
  model: Model,
  scope: Scope,
  chosen: FactChosen,
  method: string,
  coresOf: (squares: number) => CoreOf,
): Patch => {
  const { byPath, width, count } = squaresOf(model, chosen, method);
  const u = scope.param('FacTu', [chosen.rank, width], kaimingUniform);
  const v = scope.param('FacTv', [width, chosen.rank], zeros);
  const coreOf = coresOf(count);
  return eachLinear(model, scope, chosen.target, method, (base, own, path) =>
    withUpdate(base, own, { u, v, core: coreOf(own, byPath.get(path)!) }, chosen),
  );
};
