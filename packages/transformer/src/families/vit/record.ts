import type { RoleRow } from '../../roles.ts';
import type { Path } from '../../sites.ts';
import type { CheckpointLayout } from '../checkpoint-layout.ts';
import type { VitConfig } from './config.ts';

/** The paths of one block. */
export interface BlockPaths {
  readonly block: Path;
  readonly attn: Path;
  readonly mlp: Path;
  /** Of the input of attention, and of that of the MLP. */
  readonly norms: readonly [Path, Path];
  /** Factors of what attention and the MLP give; null where there are none. */
  readonly scales: readonly [Path, Path] | null;
  /** The table of its relative positions, where BEiT has one. */
  readonly relative?: Path;
}

/** That which tells one `model_type` of transformers over patches from others: a new one is such a record and rows of goldens. */
export interface VitRecord {
  readonly modelType: string;
  /** The word that its classes in transformers begin with: `ViT` of `ViTForImageClassification`. */
  readonly stem: string;
  /** The module of its classes that holds the tower. */
  readonly prefix: string;
  /** Defaults of its class of configs in transformers that are not ViT's. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Learned rows in front of the patches, by their modules' names. */
  readonly extra: readonly string[];
  /** The paths of a block, by its number. */
  block(index: number): BlockPaths;
  /** The last part of the path of its learned factors; see `BlockPaths.scales`. */
  readonly names: NonNullable<CheckpointLayout['names']>;
  /** Tensors of files that nothing here reads. Default: the pooler, the row that stands for hidden patches, and the head that draws these. */
  readonly ignored?: RegExp;
  /** Whether pictures may have other sizes, for which positions are interpolated. */
  readonly interpolates: boolean;
  /** Whether the classifier reads the mean of the patches beside the class's row. */
  readonly withMean: boolean;
  /** Whether its class of the adapters library is known here. Default false. */
  readonly stacks?: boolean;
  /** Whether its config has BEiT's fields. Default false. */
  readonly isBeit?: boolean;
}

/** The path of the layer that makes rows of patches. */
export const patchLayer = ({ prefix }: VitRecord): Path => `${prefix}.embeddings.patch_embeddings.projection`;

/** The path of the table of positions. */
export const positionTable = ({ prefix }: VitRecord): Path => `${prefix}.embeddings.position_embeddings`;

/** The paths of the learned rows in front. */
export const extraRows = ({ prefix, extra }: VitRecord): readonly Path[] =>
  extra.map((name) => `${prefix}.embeddings.${name}`);

export const blocksOf = ({ block }: VitRecord, { layers, beit }: VitConfig): readonly BlockPaths[] =>
  Array.from({ length: layers }, (_, i) => {
    const own = block(i);
    return beit?.scale === 0 ? { ...own, scales: null } : own;
  });

/** The path of the norm behind the blocks; null where there is none. */
export const lastNorm = ({ prefix }: VitRecord, { beit }: VitConfig): Path | null =>
  beit?.meanPooling ? null : `${prefix}.layernorm`;

/** The tables of relative positions, in the order of the blocks, or one for all of them. */
export const relativeTables = (record: VitRecord, config: VitConfig): readonly Path[] => {
  if (!config.beit?.relative) return [];
  if (config.beit.relative === 'all') return [`${record.prefix}.shared_position_bias.relative_position_bias_table`];
  return blocksOf(record, config).flatMap(({ relative }) => relative ?? []);
};

/** Whether there is a table of positions. */
export const hasPositions = ({ beit }: VitConfig): boolean => beit?.positions ?? true;

/** Rows of a picture, by default of one as the model was trained with: patches, and those in front of them; 0 where there is no patch. */
export const rowsOf = (
  { extra }: VitRecord,
  { picture, patch: [high, wide] }: VitConfig,
  height: number = picture[1],
  width: number = picture[2],
): number => {
  const patches = Math.floor(height / high) * Math.floor(width / wide);
  return patches > 0 ? extra.length + patches : 0;
};

/** Names in files of attention's layers. */
export const attentionNames: NonNullable<CheckpointLayout['names']> = [
  [/\.attention\.q_proj\./, '.attention.attention.query.'],
  [/\.attention\.k_proj\./, '.attention.attention.key.'],
  [/\.attention\.v_proj\./, '.attention.attention.value.'],
  [/\.attention\.o_proj\./, '.attention.output.dense.'],
  [/\.(cls_token|distillation_token|position_embeddings)\.weight$/, '.$1'],
];

/** The layers of towers over patches by role, but for the classifier's. */
export const pictureRoles: readonly RoleRow[] = [
  { role: 'query', name: 'attention.q_proj' },
  { role: 'key', name: 'attention.k_proj' },
  { role: 'value', name: 'attention.v_proj' },
  { role: 'attn-out', name: 'attention.o_proj' },
  { role: 'up', name: 'mlp.fc1' },
  { role: 'down', name: 'mlp.fc2' },
  { role: 'patch', name: 'patch_embeddings.projection' },
];

/** Default targets of towers over patches, for which PEFT has none. */
export const pictureTargets: Readonly<Record<string, readonly string[]>> = {
  lora: ['q_proj', 'v_proj'],
  ia3: ['k_proj', 'v_proj', 'fc2'],
  ia3Feedforward: ['fc2'],
};
