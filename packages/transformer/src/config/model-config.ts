import type { TokenIds } from './token-ids.ts';

/** The fields that every model's config has; each family has more. */
export interface ModelConfig extends TokenIds {
  /** `model_type` in `config.json`. */
  readonly modelType: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Blocks of the main tower. */
  readonly layers: number;
  /** The longest text in tokens; Infinity where there is no limit. */
  readonly maxPositions: number;
  /** Whether the head reads the token embedding's table. */
  readonly tieWordEmbeddings: boolean;
  /** The token that a decoder beside an encoder begins with (`decoder_start_token_id`); null or absent where none is known. */
  readonly decoderStartId?: number | null;
  /** `architectures` of the file, the classes of transformers that wrote it; empty where it names none. */
  readonly architectures: readonly string[];
  /** Names of the classes of a classifier, in the order of its outputs (`id2label`); null where the file has none. */
  readonly labels: readonly string[] | null;
}
