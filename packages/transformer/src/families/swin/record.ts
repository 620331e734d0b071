import type { Path } from '../../sites.ts';
import type { SwinConfig } from './config.ts';

/** Lines and columns of patches. */
export type Grid = readonly [lines: number, columns: number];

/** One block: its paths and sizes. */
export interface SwinBlock {
  readonly block: Path;
  readonly attn: Path;
  readonly mlp: Path;
  /** Of the input of attention, and of that of the MLP. */
  readonly norms: readonly [Path, Path];
  /** The table of the ways from a patch of a window to another. */
  readonly relative: Path;
  /** The width of its rows. */
  readonly width: number;
  readonly heads: number;
  readonly grid: Grid;
  /** Rows and columns by which the windows are moved; 0 in every other block, and where the grid is no larger than a window. */
  readonly shift: number;
  /** The layers after it, the last of its stage, that make a row of four; null for other blocks, and those of the last stage. */
  readonly merging: { readonly norm: Path; readonly reduction: Path } | null;
}

/** The layer that makes rows of patches, the norm of these, and the table of positions. */
export const embeddings = {
  patch: 'swin.embeddings.patch_embeddings.projection',
  norm: 'swin.embeddings.norm',
  positions: 'swin.embeddings.position_embeddings',
} as const;

/** The path of the norm behind the blocks. */
export const lastNorm = 'swin.layernorm';

/** The patches of each stage: half as many as in that before it, rounded up. */
export const gridsOf = ({
  picture,
  patch,
  depths,
}: Pick<SwinConfig, 'picture' | 'patch' | 'depths'>): readonly Grid[] =>
  depths.map((_, stage): Grid => {
    const half = (count: number): number => Math.ceil(count / 2 ** stage);
    return [half(Math.floor(picture[1] / patch[0])), half(Math.floor(picture[2] / patch[1]))];
  });

/** All blocks, in the order of the forward pass. */
export const blocksOf = (config: SwinConfig): readonly SwinBlock[] => {
  const { depths, embedSize, heads, window } = config;
  const grids = gridsOf(config);
  return depths.flatMap((depth, stage) => {
    const home = `swin.encoder.layers.${stage}`;
    const grid = grids[stage]!;
    return Array.from({ length: depth }, (_, i): SwinBlock => {
      const block = `${home}.blocks.${i}`;
      const merges = i === depth - 1 && stage < depths.length - 1;
      return {
        block,
        attn: `${block}.attention`,
        mlp: `${block}.mlp`,
        norms: [`${block}.layernorm_before`, `${block}.layernorm_after`],
        relative: `${block}.attention.relative_position_bias.relative_position_bias_table`,
        width: embedSize * 2 ** stage,
        heads: heads[stage]!,
        grid,
        shift: i % 2 === 1 && Math.min(...grid) > window ? Math.floor(window / 2) : 0,
        merging: merges ? { norm: `${home}.downsample.norm`, reduction: `${home}.downsample.reduction` } : null,
      };
    });
  });
};
