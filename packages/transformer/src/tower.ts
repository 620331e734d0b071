import type { Path, SiteName } from './sites.ts';

/** A stack of blocks over one sequence of rows. A GPT is one, a T5 an `encoder` and a `decoder`. */
export interface Tower {
  readonly name: string;
  /** The rows that a row attends to: those before it and itself, or all. */
  readonly attends: 'before' | 'all';
  /** The embedding of its tokens. */
  readonly tokenTable: Path;
  /** Width d of the residual stream. */
  readonly hiddenSize: number;
  /** Heads of queries. */
  readonly heads: number;
  /** Heads of keys and values: fewer where queries share them. */
  readonly keyHeads: number;
  readonly headDim: number;
  /** The paths of a site in this tower, in the order of the forward pass. */
  paths(site: SiteName): readonly Path[];
}
