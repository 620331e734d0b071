import { concat, reshape, slice, type Tensor } from '@peftjs/tensor';

const stacked = (matrices: readonly Tensor[], rank: number): Tensor => {
  const [first, ...more] = matrices.map((m) => reshape(m, [1, rank, rank]));
  return more.reduce((left, right) => concat(left, right, { axis: 0 }), first!);
};

/**
 * Matrices made of others, all [r, r]: `make` is given those of one rank as stacks [n, r, r], so that many layers take as many kernels as one. Each row of `rows` has as many
 * matrices as `make` has arguments.
 */
export const byRank = (
  rows: readonly (readonly Tensor[])[],
  make: (...stacks: readonly Tensor[]) => Tensor,
): readonly Tensor[] => {
  const found: Tensor[] = [];
  for (const rank of new Set(rows.map(([m]) => m!.shape[0]!))) {
    const own = [...rows.entries()].filter(([, [m]]) => m!.shape[0] === rank);
    const columns = own[0]![1].map((_, k) =>
      stacked(
        own.map(([, row]) => row[k]!),
        rank,
      ),
    );
    const all = make(...columns);
    for (const [k, [i]] of own.entries())
      found[i] = reshape(slice(all, { axis: 0, start: k, end: k + 1 }), [rank, rank]);
  }
  return found;
};
