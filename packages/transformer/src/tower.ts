import type { Path, SiteName } from './sites.ts';

/** The inputs of a tower, by name; all are [batch, tokens], but pictures. */
export interface TowerInputs {
  /** i32: token ids, without which there is no pass. With `picture` f32 [batch, channels, height, width]: pixels. */
  readonly ids: string;
  /** The sizes of a picture, where the tower reads pictures in place of tokens; its rows are then those of patches. */
  readonly picture?: readonly [channels: number, height: number, width: number];
  /** Of pictures: the height and width of a patch, in pixels. The rows of patches are the last ones, line by line. */
  readonly patch?: readonly [height: number, width: number];
  /** Whether pictures may have another height and width: positions are then interpolated. Default false. */
  readonly anySize?: boolean;
  /** f32: 1 for tokens, 0 for what is hidden. May be left out. */
  readonly mask: string;
  /** Further i32 ones, which may be left out, each with the number of values that it knows: `{ tokenTypes: 2 }`. Default none. */
  readonly kinds?: Readonly<Record<string, number>>;
}

/** A stack of blocks over one sequence of rows. A GPT is one, a T5 an `encoder` and a `decoder`. */
export interface Tower {
  readonly name: string;
  /** The rows that a row attends to: those before it and itself, or all. */
  readonly attends: 'before' | 'all';
  /** The embedding of its tokens; null where it reads pictures. */
  readonly tokenTable: Path | null;
  /** Width d of the residual stream, where it ends: of the last blocks, where these are of unlike width; see `Model.widthAt`. */
  readonly hiddenSize: number;
  /** Heads of queries. */
  readonly heads: number;
  /** Heads of keys and values: fewer where queries share them. */
  readonly keyHeads: number;
  readonly headDim: number;
  readonly reads: TowerInputs;
  /** The id of a token that takes no position, as the others count without it; null where all take one. */
  readonly unplacedToken: number | null;
  /** Whether methods may put rows in front of its own: not where attention is within windows of a picture. */
  readonly takesRows: boolean;
  /** Whether the sum of a sublayer's output and the stream is normed (BERT), and not what a sublayer reads. */
  readonly normsSums: boolean;
  /** The number of the block that each layer runs. Default each block once. */
  readonly order?: readonly number[];
  /** The paths of a site in this tower, in the order of the forward pass. */
  paths(site: SiteName): readonly Path[];
}
