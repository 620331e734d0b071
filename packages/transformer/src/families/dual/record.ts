import type { Model } from '../../model.ts';
import type { RoleRow } from '../../roles.ts';
import type { Path } from '../../sites.ts';
import type { Inputs, States } from '../../states.ts';
import type { Pair } from '../../tasks/task.ts';
import type { TensorNeed } from '../../weights.ts';
import type { CheckpointLayout } from '../checkpoint-layout.ts';
import type { DualConfig } from './config.ts';

/** The two towers by the beginning of their modules' names. */
export type Side = 'text' | 'vision';

/** The way from the rows of both towers to a vector for each text and picture. */
export interface DualHead {
  /** Its tensors, after those of the towers. */
  needs(config: DualConfig): readonly (readonly [string, TensorNeed])[];
  /** Those of them that lie in the module of the pictures' tower. */
  pictureNeeds(config: DualConfig): readonly (readonly [string, TensorNeed])[];
  /** Those of them that are tables, not layers. */
  readonly tables: readonly Path[];
  /** Names in files that are not ours. */
  readonly names: NonNullable<CheckpointLayout['names']>;
  /** Sizes in files that are not ours, by our names. */
  readonly shapes: Readonly<Record<string, (width: number) => readonly number[]>>;
  readonly roles: readonly RoleRow[];
  /** Whether a text has a token that ends it, whose row is read. */
  readonly endsTexts: boolean;
  /** The width of the space, by the fields for it of the whole and of the texts' part, and the width of the pictures' tower; problems are collected. */
  projection(whole: number | undefined, ofTexts: number, ofPictures: number, problems: string[]): number;
  pair(model: Model, states: States, inputs: Inputs, config: DualConfig): Pair;
}

/** That which tells one `model_type` of texts beside pictures from others. */
export interface DualRecord {
  /** Default targets by table, beside those that all have. Default none. */
  readonly targets?: Readonly<Record<string, readonly string[]>>;
  readonly modelType: string;
  /** The word that its classes in transformers begin with: `CLIP` of `CLIPModel`. */
  readonly stem: string;
  /** Defaults of its classes of configs in transformers. */
  readonly defaults: Readonly<Record<Side, Readonly<Record<string, unknown>>>>;
  /** The rows that a row of a text attends to. */
  readonly attends: 'before' | 'all';
  /** Whether pictures have a row in front of their patches, a norm before the blocks, and patches without a bias. */
  readonly classRow: boolean;
  /** The rows that a classifier of pictures reads: as the blocks give them, or after the last norm. */
  readonly classifies: 'blocks' | 'normed';
  readonly head: DualHead;
  /** Fields of the whole that its `config.json` has. */
  configJson(config: DualConfig): Readonly<Record<string, unknown>>;
  /** The same of each part. */
  sideJson(config: DualConfig, side: Side): Readonly<Record<string, unknown>>;
}

/** The module of a tower. */
export const moduleOf = (side: Side): Path => `${side}_model`;

/** The paths of one block. */
export interface DualBlock {
  readonly block: Path;
  readonly attn: Path;
  readonly mlp: Path;
  /** Of the input of attention, and of that of the MLP. */
  readonly norms: readonly [Path, Path];
}

/** The blocks of a tower. */
export const blocksOf = (side: Side, layers: number): readonly DualBlock[] =>
  Array.from({ length: layers }, (_, i) => {
    const block = `${moduleOf(side)}.encoder.layers.${i}`;
    return {
      block,
      attn: `${block}.self_attn`,
      mlp: `${block}.mlp`,
      norms: [`${block}.layer_norm1`, `${block}.layer_norm2`],
    };
  });

/** Paths outside of the blocks. Single rows and numbers are tables of one row. */
export const dualPaths = {
  tokens: 'text_model.embeddings.token_embedding',
  textPositions: 'text_model.embeddings.position_embedding',
  textNorm: 'text_model.final_layer_norm',
  classRow: 'vision_model.embeddings.class_embedding',
  patches: 'vision_model.embeddings.patch_embedding',
  picturePositions: 'vision_model.embeddings.position_embedding',
  // Its name in transformers.
  firstNorm: 'vision_model.pre_layrnorm',
  visionNorm: 'vision_model.post_layernorm',
  scale: 'logit_scale',
  bias: 'logit_bias',
} as const;
