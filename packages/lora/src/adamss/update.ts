import { type Scope, zeros } from '@peftjs/core';
import {
  add,
  type Compute,
  constant,
  equal,
  matmul,
  mul,
  PeftError,
  reshape,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';
import type { Linear, Path } from '@peftjs/transformer';
import { onceComputed } from '../once-computed.ts';
import type { Trained } from './allocation.ts';
import type { SubspaceSizes, Subspaces } from './subspaces.ts';

/** Of a file nothing is taken on trust: each output must be in one of the subspaces. */
const checkClusters = (path: Path, clusters: Variable, subspaces: number): void => {
  const { init } = clusters.node;
  if (!ArrayBuffer.isView(init)) return;
  const odd = Array.from(init as Int32Array).find((cluster) => !(cluster >= 0 && cluster < subspaces));
  if (odd !== undefined)
    throw new PeftError(
      'state-mismatch',
      `adamss: ${path}.adamss_clusters must hold numbers from 0 to ${subspaces - 1}, of the subspaces that outputs are in; got ${odd}`,
    );
};

/** The update of one layer: of x and of nothing, as the bias is. */
export interface Update extends Trained {
  /** [..., in] -> [..., out] */
  apply(x: Tensor): Tensor;
  /** [out, in] */
  weight(): Tensor;
  /** [out] */
  bias(): Tensor | null;
}

const sizesOf = (
  path: Path,
  { inDim, outDim }: Linear,
  hasBias: boolean,
  { directions, subspaces, rank, threshold }: SubspaceSizes,
): SubspaceSizes => {
  const most = Math.min(directions, inDim + Number(hasBias), outDim);
  const sizes = { directions: most, subspaces, rank: Math.min(rank, most), threshold };
  if (subspaces * sizes.rank <= outDim) return sizes;
  throw new PeftError(
    'bad-option',
    `adamss: ${path}: ${subspaces} subspaces of rank ${sizes.rank} are more than its ${outDim} outputs; give fewer subspaces, or a lower rank`,
  );
};

/** The update of a layer, with its parameters. Throws `bad-option` for a layer of fewer outputs than its subspaces need, and `state-mismatch` for a file whose outputs are in others. */
export const updateOf = (
  base: Linear,
  own: Scope,
  path: Path,
  options: SubspaceSizes & { readonly seed: number },
): Update => {
  const { inDim, outDim } = base;
  const hasBias = base.dense().bias !== null;
  const sizes = sizesOf(path, base, hasBias, options);
  const { directions, subspaces, rank } = sizes;
  const found = onceComputed(async (compute) => {
    const { subspacesOf } = await import('./subspaces.ts'); // with ml-matrix, which few need
    return subspacesOf(base, path, sizes, options.seed, compute);
  });
  const first =
    <K extends keyof Subspaces>(part: K) =>
    async (_: unknown, __: unknown, compute: Compute): Promise<Subspaces[K]> =>
      (await found(compute))[part];
  const v = own.buffer('adamss_newB', [directions, inDim], first('directions'));
  const atBias = hasBias ? own.buffer('adamss_newB_bias', [directions], first('biasDirections')) : null;
  const clusters = own.buffer('adamss_clusters', [outDim], first('clusters'), 'i32');
  checkClusters(path, clusters, subspaces);
  const a = own.param('adamss_A', [subspaces * rank, directions], first('a'));
  const b = own.param('adamss_B', [outDim, rank], zeros);
  const numbers = constant(
    Int32Array.from({ length: subspaces }, (_, k) => k),
    [1, subspaces],
  );
  const members = equal(reshape(clusters, [outDim, 1]), numbers); // [out, K]
  /** B with zeros in the columns of other subspaces, [out, K·r]. */
  const spread = (): Tensor =>
    reshape(mul(reshape(members, [outDim, subspaces, 1]), reshape(b, [outDim, 1, rank])), [outDim, subspaces * rank]);
  return {
    own,
    a,
    b,
    members,
    apply: (x) => {
      const seen = matmul(x, v, { transposeB: true }); // [..., R]
      const low = matmul(atBias ? add(seen, atBias) : seen, a, { transposeB: true }); // [..., K·r]
      return matmul(low, spread(), { transposeB: true });
    },
    weight: () => matmul(spread(), matmul(a, v)),
    bias: () => atBias && reshape(matmul(spread(), matmul(a, reshape(atBias, [directions, 1]))), [outDim]),
  };
};

/** The layer with its update. */
export const updated = (base: Linear, update: Update): Linear => ({
  ...base,
  apply: (x, call) => add(base.apply(x, call), update.apply(x)),
  dense: () => {
    const { weight, bias } = base.dense();
    const change = update.bias();
    return { weight: add(weight, update.weight()), bias: bias && change ? add(bias, change) : bias };
  },
});
