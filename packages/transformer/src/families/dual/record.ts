import type { Path } from '../../sites.ts';

/** The two towers by the beginning of their modules' names. */
export type Side = 'text' | 'vision';

/** That which tells one `model_type` of texts beside pictures from others. */
export interface DualRecord {
  readonly modelType: string;
  /** The word that its classes in transformers begin with: `CLIP` of `CLIPModel`. */
  readonly stem: string;
  /** Defaults of its classes of configs in transformers. */
  readonly defaults: Readonly<Record<Side, Readonly<Record<string, unknown>>>>;
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

/** Paths outside of the blocks. The row of the class and the scale are tables of one row. */
export const dualPaths = {
  tokens: 'text_model.embeddings.token_embedding',
  textPositions: 'text_model.embeddings.position_embedding',
  textNorm: 'text_model.final_layer_norm',
  textProjection: 'text_projection',
  classRow: 'vision_model.embeddings.class_embedding',
  patches: 'vision_model.embeddings.patch_embedding',
  picturePositions: 'vision_model.embeddings.position_embedding',
  // Its name in transformers.
  firstNorm: 'vision_model.pre_layrnorm',
  visionNorm: 'vision_model.post_layernorm',
  visionProjection: 'visual_projection',
  scale: 'logit_scale',
} as const;
