import type { ModelConfig } from '@peftjs/io';
import type { Tensor } from '@peftjs/tensor';
import type { Embedding } from './embedding.ts';
import type { KvCache } from './kv-cache.ts';
import type { Linear } from './linear.ts';
import type { Norm } from './norm.ts';
import type { AroundTable, Path, SiteName } from './sites.ts';

/** How a forward pass is made. */
export interface ForwardOptions {
  /** f32 [batch, keys]: 1 keeps a token as a key, 0 hides it (padding). Default: all are kept. `keys` is the pass's tokens, or the cache's slots. */
  readonly keyMask?: Tensor;
  /** i32 [tokens] or [batch, tokens]: the tokens' positions. Default 0, 1, 2, … Required where a cache is continued. */
  readonly positions?: Tensor;
  /**
   * All `positions` are below it. Default: the config's `maxPositions`, or fewer where positions are learned and rows in front take some.
   * Smaller means a smaller table in the program.
   */
  readonly positionLimit?: number;
  readonly cache?: KvCache;
  /** Recompute each block's inner values in the backward pass instead of storing them. Default false. */
  readonly checkpoint?: boolean;
}

/** How a loss is taken. */
export interface LossOptions extends ForwardOptions {
  /** The label of positions that do not count. Default −100. */
  readonly ignoreIndex?: number;
}

/** What `with` replaces or adds. */
export interface ModelPatch {
  /** Replaced by path. */
  readonly linears?: ReadonlyMap<Path, Linear>;
  /** Replaced by path. */
  readonly norms?: ReadonlyMap<Path, Norm>;
  /** Replaced by path. */
  readonly embeddings?: ReadonlyMap<Path, Embedding>;
  /** Wrapped around what is there. */
  readonly around?: AroundTable;
  /** Added to every token's position, as huggingface/peft counts the rows of a key/value prefix. Default 0. */
  readonly positionShift?: number;
  /**
   * i32 [batch], 1 or 0: for which sequences the rows and keys that methods put in front are there, and move the tokens' positions. Default:
   * for all.
   */
  readonly present?: Tensor;
  /** The only number of sequences that the view takes from now on. Default: any. */
  readonly batchSize?: number;
}

/**
 * A decoder-only language model: an immutable value. Adapting it makes another value that shares the weights.
 * Shapes: ids i32 [batch, tokens]; d is the config's `hiddenSize`.
 */
export interface CausalLM {
  readonly config: ModelConfig;
  /** Every linear layer by path, `lm_head` too. */
  readonly linears: ReadonlyMap<Path, Linear>;
  readonly norms: ReadonlyMap<Path, Norm>;
  readonly embeddings: ReadonlyMap<Path, Embedding>;
  /** The middleware in place. */
  readonly around: AroundTable;
  /** Positions that tokens, and rows in front of them, can take: those of a learned table after the shift; Infinity where they are computed. */
  readonly positionsLeft: number;
  /** The only number of sequences it takes; null for any. */
  readonly batchSize: number | null;
  /** The paths of a site, in the order of the forward pass. */
  paths(site: SiteName): readonly Path[];
  /** This model with parts replaced by path, and middleware around that which is there. Throws `no-match`, `bad-shape`. */
  with(patch: ModelPatch): CausalLM;
  /** [batch, tokens, d]: what the LM head reads. Throws `bad-shape`, `bad-option`. */
  hidden(ids: Tensor, options?: ForwardOptions): Tensor;
  /** [batch, tokens, vocabSize], or [batch, 1, vocabSize] of the last token alone. */
  logits(ids: Tensor, options?: ForwardOptions & { readonly lastOnly?: boolean }): Tensor;
  /**
   * Mean cross-entropy in nats over the labelled positions, 0 when there are none. labels i32 [batch, tokens]: `labels[b][t]` is the
   * token to predict after `ids[b][t]` (so already shifted by one), or `ignoreIndex`.
   */
  loss(ids: Tensor, labels: Tensor, options?: LossOptions): Tensor;
}
