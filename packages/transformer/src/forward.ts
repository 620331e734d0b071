import type { Tensor } from '@peftjs/tensor';
import type { Parts } from './parts.ts';
import type { Pass, Sequence } from './pass.ts';
import type { RowsOf } from './position-rows.ts';
import type { KeyValue, Path, SiteCore, SiteName } from './sites.ts';
import type { Inputs } from './states.ts';

/** How scores of attention become weights. */
export interface AttendOptions {
  /** Factor of the scores. Default 1/√headDim. */
  readonly scale?: number;
  /** How many rows a row sees at most, itself and those right before it, in a tower that attends to what came before. Default all. */
  readonly window?: number;
  /** How many rows a row sees at most to either side, in a tower that attends to all. Default all. */
  readonly reach?: number;
  /** Scaled scores become softCap · tanh(score / softCap). Default: they stay as they are. */
  readonly softCap?: number;
  /** f32 [heads]: a score of each head beside those of all keys, whose value is zeros. Default none. */
  readonly sinks?: Tensor;
  /**
   * Added to the scores of so many queries and keys k: [1 or B, H, 1 or queries, keys]. `first` i32 []: the first query's row among the keys; null where
   * theirs are the last. `mask` f32 [batch, keys]; null where no key is hidden. `added`: how many of the keys methods put in front.
   */
  readonly bias?: (
    queries: number,
    keys: number,
    k: Tensor,
    first: Tensor | null,
    mask: Tensor | null,
    added: number,
  ) => Tensor;
  /** Whether the bias is made of the queries and keys themselves, not of their places alone. Default false. */
  readonly ofContent?: boolean;
}

/** The parts of one forward pass that an architecture's layers use. */
export interface Forward {
  readonly pass: Pass;
  readonly sequence: Sequence;
  /** How far the tower's tokens are moved, and for which sequences; see `ModelPatch.positionShift`. */
  readonly moved: Pick<Parts, 'positionShift' | 'present'>;
  /** The named inputs of the pass. */
  readonly inputs: Inputs;
  /** `core` with the middlewares of a site and path around it; `stream` is what its output is added to, `norm` that of the sum. */
  at<S extends SiteName>(
    site: S,
    path: Path,
    core: SiteCore<S>,
    stream?: Tensor,
    norm?: (sum: Tensor) => Tensor,
  ): SiteCore<S>;
  linear(path: Path, x: Tensor): Tensor;
  norm(path: Path, x: Tensor): Tensor;
  /** Rows [rows, inDim], each through the expert that i32 [rows] says. */
  experts(path: Path, x: Tensor, index: Tensor): Tensor;
  /** The embedding of whole numbers, without its site. */
  embedding(path: Path, ids: Tensor): Tensor;
  /** The table of an embedding: [rows, dim]. */
  weights(path: Path): Tensor;
  /** Attention of q [B,H,T,D] over this pass's keys and values, the cache's, and those that methods add: [B,H,T,D]. */
  attend(path: Path, q: Tensor, own: KeyValue, options?: AttendOptions): Tensor;
  /**
   * The same over keys and values made of the rows of an earlier tower, once for all passes that a cache joins; by the linear layers that `make` is given, which are told of that tower's
   * sequence.
   */
  attendTo(
    tower: string,
    path: Path,
    q: Tensor,
    make: (rows: Tensor, linear: Forward['linear']) => KeyValue,
    options?: AttendOptions,
  ): Tensor;
  /**
   * A row of a table for each row of the pass, by its position: [rows, D] or [batch, rows, D]. `available`: the rows that the table has,
   * by default as many as are wanted. Throws `bad-option` where more are needed.
   */
  positionRows(rowsOf: RowsOf, available?: number): Tensor;
}
