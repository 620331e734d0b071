import type { Activation } from '../../activation.ts';
import type { RoleRow } from '../../roles.ts';
import type { Path } from '../../sites.ts';
import type { Disentangled, EncoderConfig } from './config.ts';
import type { ConvolutionPaths } from './convolution.ts';
import type { DisentangledPaths } from './disentangled.ts';

/** The paths of one block. */
export interface BlockPaths {
  readonly block: Path;
  /** The path of the site `attn`. */
  readonly attn: Path;
  readonly query: Path;
  readonly key: Path;
  readonly value: Path;
  /** Where queries, keys and values are one layer, head by head, without a bias: rows that are added to queries and to values. Default: they are three layers. */
  readonly fused?: { readonly queryBias: Path; readonly valueBias: Path };
  readonly out: Path;
  /** The norm of the sum of attention's output and its input. */
  readonly attnNorm: Path;
  /** The path of the site `mlp`. */
  readonly mlp: Path;
  readonly up: Path;
  readonly down: Path;
  /** The norm of the sum of the MLP's output and its input. */
  readonly mlpNorm: Path;
}

/** A layer that the first row of a text goes through on its way to a classifier, and the function after it. */
export interface PooledHead {
  readonly dense: Path;
  readonly activation: Activation;
  readonly classifier: Path;
  /** Modules that are trained and saved with every adapter. */
  readonly trained: readonly Path[];
}

/** The head over the vocabulary: a layer, a function, a norm, and the layer whose weight the token table may be. */
export interface MaskedHead {
  readonly dense: Path;
  /** Null for the activation of the blocks. */
  readonly activation: Activation | null;
  readonly norm: Path;
  readonly decoder: Path;
}

/** All that tells one `model_type` of encoders with norms after their sums from others: a new one is such a record and rows of goldens. */
export interface EncoderRecord {
  readonly modelType: string;
  /** The word that its classes in transformers begin with: `Roberta` of `RobertaForMaskedLM`. */
  readonly stem: string;
  /** The module of its classes that holds the towers. */
  readonly prefix: string;
  /** Defaults of its class of configs in transformers, by BERT's names of fields; a field that BERT's has not is read only where it is here. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** The names that its `config.json` has for fields, by BERT's. */
  readonly fieldNames?: Readonly<Record<string, string>>;
  /** Fields that its class of configs has not, and whose values the class of models knows. */
  readonly fixed?: Readonly<Record<string, unknown>>;
  /** The one value that its class of models takes of a field, whatever the config says. */
  readonly only?: Readonly<Record<string, unknown>>;
  /** Fields whose only value here is the width of the blocks. */
  readonly sameAsHidden?: readonly string[];
  /** Id of the token that takes no position; see `TowerSpec.unplacedToken`. Default null: all take one. */
  unplacedToken?(config: EncoderConfig): number | null;
  /** The layer that brings embedded rows to the width of the blocks; null for none. Default none. */
  projection?(config: EncoderConfig): Path | null;
  /** The table of biases of relative positions, which all blocks share: [buckets, heads]. Default none. */
  readonly relativeBias?: { readonly table: Path; readonly buckets: number; readonly maxDistance: number };
  /** Modules of relative positions that attend apart from contents. Default none: they do not. */
  readonly disentangled?: DisentangledPaths;
  /** Modules of a convolution beside the first block, where the config has one. Default: it has none. */
  readonly convolution?: ConvolutionPaths;
  /** The paths of a block, by its number among those that have weights of their own. */
  block(index: number): BlockPaths;
  readonly pooled: PooledHead;
  /** The same of its class for multiple choice; null where there is none, or `summary` is. Default `pooled`. */
  readonly choice?: PooledHead | null;
  /** The module of its class for multiple choice whose work the config says. Default none. */
  readonly summary?: Path;
  readonly masked: MaskedHead;
  /** Whether its class of the adapters library is known here. Default false. */
  readonly stacks?: boolean;
  /** Tensors that checkpoints carry and nothing reads, beside those that no encoder reads. */
  readonly ignored?: RegExp;
  readonly roles: readonly RoleRow[];
  /** Default targets by table; see `ModelLayout.defaultTarget`. */
  readonly targets: Readonly<Record<string, readonly string[]>>;
}

/** The embedding's modules. */
export const embeddingPaths = ({
  prefix,
}: EncoderRecord): { readonly token: Path; readonly position: Path; readonly type: Path; readonly norm: Path } => ({
  token: `${prefix}.embeddings.word_embeddings`,
  position: `${prefix}.embeddings.position_embeddings`,
  type: `${prefix}.embeddings.token_type_embeddings`,
  norm: `${prefix}.embeddings.LayerNorm`,
});

/** The position after that of a token which takes none: where those of the others begin in the table. */
export const firstPosition = ({ unplacedToken }: EncoderRecord, config: EncoderConfig): number =>
  unplacedToken ? (unplacedToken(config) ?? -1) + 1 : 0;

/** Whether absolute positions are added to the embedded tokens. */
export const hasPositions = ({ disentangled }: EncoderConfig): boolean => disentangled?.absolute ?? true;

/** Relative positions that attend apart, with their modules; null where there are none. */
export const relativeParts = (
  { disentangled: paths }: EncoderRecord,
  { disentangled: of }: EncoderConfig,
): { readonly of: Disentangled; readonly paths: DisentangledPaths } | null =>
  paths && of?.relative ? { of, paths } : null;

/** The blocks with weights of their own. */
export const blocksOf = ({ block }: EncoderRecord, { groups, layers }: EncoderConfig): readonly BlockPaths[] =>
  Array.from({ length: groups ?? layers }, (_, i) => block(i));

/** The paths of a block as BERT names them, below the module of its towers. */
export const bertBlock =
  (prefix: string) =>
  (index: number): BlockPaths => {
    const block = `${prefix}.encoder.layer.${index}`;
    return {
      block,
      attn: `${block}.attention`,
      query: `${block}.attention.self.query`,
      key: `${block}.attention.self.key`,
      value: `${block}.attention.self.value`,
      out: `${block}.attention.output.dense`,
      attnNorm: `${block}.attention.output.LayerNorm`,
      mlp: `${block}.output`,
      up: `${block}.intermediate.dense`,
      down: `${block}.output.dense`,
      mlpNorm: `${block}.output.LayerNorm`,
    };
  };

/** The roles of BERT's layers, without those of heads. */
export const bertRoles: readonly RoleRow[] = [
  { role: 'query', name: 'attention.self.query' },
  { role: 'key', name: 'attention.self.key' },
  { role: 'value', name: 'attention.self.value' },
  { role: 'attn-out', name: 'attention.output.dense' },
  { role: 'up', name: 'intermediate.dense' },
  { role: 'down', name: 'output.dense' },
];
