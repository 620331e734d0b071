import type { Tensor } from '@peftjs/tensor';
import type { Forward } from './forward.ts';
import type { Path, PathTable } from './sites.ts';
import type { Tower } from './tower.ts';

/** The architecture of one tower: what tells it from others; the rest of the forward pass is shared. */
export interface TowerSpec extends Omit<Tower, 'paths' | 'takesRows' | 'normsSums' | 'unplacedToken'> {
  readonly paths: PathTable;
  /** The width of the rows at a site, by its path, where blocks are of unlike width. Default `hiddenSize` everywhere. */
  widthAt?(path: Path): number;
  /** See `Tower.takesRows`. Default true. */
  readonly takesRows?: boolean;
  /** See `Tower.normsSums`. Default false. */
  readonly normsSums?: boolean;
  /** Whether it reads no other tower, and none reads it: it runs where its `ids` are given, over as many sequences as these have. Default false. */
  readonly alone?: boolean;
  /** How a picture becomes rows, where the tower reads pictures. */
  readonly picture?: {
    /** How many rows a picture of a size has: patches, and learned rows in front of them; 0 for one that is smaller than a patch. */
    rows(height: number, width: number): number;
    /** The core of the site `embed`: [batch, channels, height, width] -> [batch, rows, d], positions added. */
    embed(pixels: Tensor, forward: Pick<Forward, 'linear' | 'norm' | 'weights'>): Tensor;
  };
  /** Factor of the embedded tokens, before methods see them at the site `embed`. Default 1. */
  readonly tokenScale?: number;
  /** The longest text in tokens; Infinity where there is no limit. */
  readonly maxPositions: number;
  /** How many positions are computed, where these are fewer than `maxPositions` of the config. */
  readonly positionLimit?: number;
  /** The embedding whose rows are added to the embedded tokens by position; null where positions are told to the layers alone. */
  readonly positionTable: Path | null;
  /**
   * The id of a token that takes no position: it has the row of that number in the table, and the others those after it, in their order. Where
   * rows stand in front, all tokens take positions. Default null: all take one, and the first has row 0.
   */
  readonly unplacedToken?: number | null;
  /** The row of the table that the first position has, where all tokens take one. Default 0. */
  readonly firstPosition?: number;
  /** Whether tokens that the mask hides take no position: they have the row before that of the first (`firstPosition` is not 0), and the others count without them. Default false. */
  readonly placesSeen?: boolean;
  /** Embedded tokens as rows of the stream, before positions are added. Default: they are such. */
  widen?(forward: Forward, x: Tensor): Tensor;
  /** Further steps between the embedded rows, positions added, and the first block. */
  start?(forward: Forward, x: Tensor): Tensor;
  /** Called once per pass: a block's change of the residual stream. */
  layers(forward: Forward): (x: Tensor, block: number) => Tensor;
  /** A step between a block and the next, outside of their sites: the layer between stages of unlike width. Default none. */
  after?(forward: Forward, x: Tensor, block: number): Tensor;
  /** The core of the site `head`: the last norm, or nothing. */
  finish(forward: Forward, x: Tensor): Tensor;
}

const towers = new WeakMap<TowerSpec, Tower>();

/** The tower as methods see it. */
export const towerOf = (spec: TowerSpec): Tower => {
  const known = towers.get(spec);
  if (known) return known;
  const {
    name,
    attends,
    tokenTable,
    hiddenSize,
    heads,
    keyHeads,
    headDim,
    reads,
    unplacedToken = null,
    takesRows = true,
    normsSums = false,
    order,
    paths,
  } = spec;
  const tower: Tower = {
    name,
    attends,
    tokenTable,
    hiddenSize,
    heads,
    keyHeads,
    headDim,
    reads,
    unplacedToken,
    takesRows,
    normsSums,
    ...(order && { order }),
    paths: (site) => paths[site] ?? [],
  };
  towers.set(spec, tower);
  return tower;
};

/** The number of the block that a path lies in; null outside of the blocks. */
export const layerOf = ({ paths }: TowerSpec, path: Path): number | null => {
  const at = (paths.block ?? []).findIndex((block) => path === block || path.startsWith(`${block}.`));
  return at < 0 ? null : at;
};
