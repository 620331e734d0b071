import type { Files } from '@peftjs/io';
import type { Tensor } from '@peftjs/tensor';
import type { Embedding } from './embedding.ts';
import type { Experts } from './experts.ts';
import type { KvCache } from './kv-cache.ts';
import type { Linear } from './linear.ts';
import type { Norm } from './norm.ts';
import type { Pass } from './pass.ts';
import type { LayerRange } from './repeat-layers.ts';
import type { Part, Role } from './roles.ts';
import type { AroundTable, Path, SiteName } from './sites.ts';
import type { Inputs, States } from './states.ts';
import type { Tower } from './tower.ts';

/**
 * Gradient checkpointing: blocks whose inner values are computed again in the backward pass instead of stored. All of them, or so many of each tower from its first on, as Megatron-LM's
 * `recompute-num-layers` counts: the last blocks' values are those that the backward pass frees first.
 */
export type Recompute = boolean | number;

/** How a forward pass is made. */
export interface PassOptions {
  /** i32 [tokens] or [batch, tokens]: the positions of the main tower's tokens. Default 0, 1, 2, … Required where a cache is continued. */
  readonly positions?: Tensor;
  /**
   * All `positions` are below it. Default: the config's `maxPositions`, or fewer where positions are learned and rows in front take some.
   * Smaller means a smaller table in the program.
   */
  readonly positionLimit?: number;
  /** The main tower's. Where it is continued, an encoder does not run, and its `ids` are not read. */
  readonly cache?: KvCache;
  /** Which blocks are recomputed in the backward pass. Default: the view's way. */
  readonly recompute?: Recompute;
}

/** The parts that `with` replaces or adds. */
export interface ModelPatch {
  /** Replaced by path. */
  readonly linears?: ReadonlyMap<Path, Linear>;
  /** Replaced by path. */
  readonly norms?: ReadonlyMap<Path, Norm>;
  /** Replaced by path. */
  readonly embeddings?: ReadonlyMap<Path, Embedding>;
  /** Replaced by path. */
  readonly experts?: ReadonlyMap<Path, Experts>;
  /** Wrapped around what is there. */
  readonly around?: AroundTable;
  /** Added to the position of every token of the main tower, as huggingface/peft counts the rows of a key/value prefix. Default 0. */
  readonly positionShift?: number;
  /**
   * i32 [batch], 1 or 0: for which sequences the rows and keys that methods put in front are there, and move the tokens' positions. Default:
   * for all.
   */
  readonly present?: Tensor;
  /** The only number of sequences that the view takes from now on. Default: any. */
  readonly batchSize?: number;
  /** Whether passes of the view are said to train. Default: as before. */
  readonly training?: boolean;
  /** Which blocks passes of the view recompute, where their options don't say. Default: as before; none in a new model. */
  readonly recompute?: Recompute;
  /** Whether the weights are from now on others than those of the folder that the model was loaded from, as after a merge. Default: as before. */
  readonly reweighted?: boolean;
  /** Whether no method trains the task's own heads, which stay as they are: then the model has no `trainedHeads`. Default: as before; false in a new model. */
  readonly headsKept?: boolean;
  /** Is told of every pass that the view makes, before it begins. */
  readonly watch?: (pass: Pass) => void;
}

/** The files of a model, as far as methods must know them. */
export interface ModelLayout {
  /** `model_type` in Hugging Face's config. */
  readonly modelType: string;
  /** The class in transformers that has the model's head. */
  readonly modelClass: string;
  /** The folder that it was loaded from; null for one that was built. */
  readonly source: Files | null;
  /** The name of the folder that has these weights; null for a model that was built, or whose weights were changed since. */
  readonly name: string | null;
  /** The ranges of layers that it has in place of all that its files hold, see `repeatLayers`; null: it has those. */
  readonly repeats: readonly LayerRange[] | null;
  /** The modules that hold the model's `trainedHeads` (`modules_to_save` in PEFT's files). */
  readonly trainedModules: readonly Path[];
  /** Whether the task's own heads are not those of the folder but new. */
  readonly headsAreNew: boolean;
  /** The beginning of the paths that the class in transformers has not: `bert.` of a `BertModel`, which has no head; else ''. */
  readonly outerModule: string;
  /** The name that checkpoints have for a tensor, or for one of an adapter in a layer: transformers calls some modules otherwise than their files. */
  nameInFile(name: string): string;
  /** Whether checkpoints hold this layer's weight as [in, out] (`fan_in_fan_out` in PEFT's files). */
  storedTransposed(path: Path): boolean;
  /**
   * The layers that Hugging Face PEFT adapts in such a model when no target is given, by the name of its table: `lora`, `ia3`,
   * `ia3Feedforward`; undefined where it has none. `normAfterAttention` is no table of it: the norms that read what self-attention gives. `adapterHubIntermediate` and `adapterHubOutput` are the layers of the MLP that adapter-hub/adapters calls so, whose files are known where the first is there; `adapterHubPrefix` is the module that holds its prefixes, by which those files are known, and `adapterHubProjections` are an attention's layers, by which those of its LoRA are.
   */
  defaultTarget(table: string): readonly string[] | undefined;
}

/**
 * A transformer: an immutable value. Adapting it makes another value that shares the weights. It has no task: a method knows nothing of
 * logits and losses.
 */
export interface Model {
  /** Every linear layer by path, those of the task's head too. */
  readonly linears: ReadonlyMap<Path, Linear>;
  readonly norms: ReadonlyMap<Path, Norm>;
  readonly embeddings: ReadonlyMap<Path, Embedding>;
  /** Matrices of experts by the path of their tensor; none in a model without. */
  readonly experts: ReadonlyMap<Path, Experts>;
  readonly towers: readonly [Tower, ...Tower[]];
  /** The tower whose states the task reads: the decoder, where there is one. */
  readonly main: Tower;
  /** The middleware in place. */
  readonly around: AroundTable;
  readonly layout: ModelLayout;
  /** Layers of the task's own that are trained beside every method and saved with its adapter. */
  readonly trainedHeads: readonly Path[];
  /** Positions that tokens, and rows in front of them, can take: those of a learned table after the shift; Infinity where they are computed. */
  readonly positionsLeft: number;
  /** The same of a pass over a whole text, without a cache or positions: more, where longer texts are rotated otherwise as a whole (LongRoPE). */
  readonly passPositions: number;
  /** The only number of sequences it takes; null for any. */
  readonly batchSize: number | null;
  /** The paths of a site in all towers, in the order of the forward pass. */
  paths(site: SiteName): readonly Path[];
  /** The width of the rows at a site, by its path: that of its tower, or of its block where these are of unlike width (Swin). */
  widthAt(path: Path): number;
  /** The width of the vectors by which it compares pictures with texts; null where it does not. */
  readonly pairSize: number | null;
  /** The layers that play these roles, in the model's order. */
  parts(roles: readonly Role[]): readonly Part[];
  /** This model with parts replaced by path, and middleware around that which is there. Throws `no-match`, `bad-shape`. */
  with(patch: ModelPatch): this;
  /** This model with ranges of its layers in place of all; see `repeatLayers`. Throws `bad-option`. */
  repeat(ranges: readonly LayerRange[]): this;
  /**
   * A model of the same architecture with all sizes divided by `reduction`, `layers` layers, a vocabulary of one and zeros for weights: the
   * shell of a side network.
   */
  narrow(reduction: number, layers: number): Model;
  /** The states after a pass. Throws `bad-shape`, `bad-dtype`, `bad-option`. */
  states(inputs: Inputs, options?: PassOptions): States;
}
