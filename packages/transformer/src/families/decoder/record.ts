import type { activationOf } from '../../config/activation.ts';
import type { DecoderConfig, DecoderFields } from './config.ts';

/** The norms of half a block by name: before it, of what it reads, and after it, of what it adds to the stream; null where there is none. */
export interface HalfNorms {
  readonly before: string | null;
  readonly after: string | null;
}

/** How the blocks of a decoder are made, where decoders differ. */
export interface Traits {
  /** Which projections have a bias: those of queries, keys and values; that of attention's output; those of the MLP. */
  readonly biases: { readonly qkv: boolean; readonly out: boolean; readonly mlp: boolean };
  /** `rms` scales by the weight, `rms-plus-one` by 1 + the weight. */
  readonly norm: 'rms' | 'rms-plus-one';
  readonly norms: { readonly attn: HalfNorms; readonly mlp: HalfNorms };
  /** Norms of queries and keys before they are rotated, `q_norm` and `k_norm`: of each head's values, of those of all heads together, or none. */
  readonly queryKeyNorms: 'by-head' | 'all-heads' | null;
  /** Whether a layer rotates queries and keys by position. */
  rotates(layer: number): boolean;
  /** How many rows a row of a layer sees at most, itself and those right before it; null where it sees all. */
  window(layer: number): number | null;
  /** Factor of the scores of attention; null for 1/√headDim. */
  readonly scoreScale: number | null;
  /** The scores s of attention become scoreCap · tanh(s / scoreCap); null: they stay as they are. */
  readonly scoreCap: number | null;
  /** Factor of what the table of tokens gives, before methods put rows in front. */
  readonly tokenScale: number;
  /** Factor of all rows that the first block reads. */
  readonly rowScale: number;
  /** Factor of what half a block adds to the stream. */
  readonly residualScale: number;
  /** Factor of the logits. */
  readonly logitScale: number;
  /** The logits l become logitCap · tanh(l / logitCap); null: they stay as they are. */
  readonly logitCap: number | null;
}

/** All that tells one `model_type` of decoders from others: a new one is such a record and a row of goldens. */
export interface DecoderRecord {
  readonly modelType: string;
  /** The word that its classes in transformers begin with: `Qwen3` of `Qwen3ForCausalLM`. */
  readonly stem: string;
  /** The same of its class of classifiers, where it is another. */
  readonly classifierStem?: string;
  /** The base of the rotary embedding that layers with a window have, where it is one of their own. */
  readonly localTheta?: number;
  /** Defaults of its class of configs in transformers, by the names in `config.json`, where they are not Llama's. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** Names of the activations that it has. Default all that there are. */
  readonly activations?: readonly (keyof typeof activationOf)[];
  /** The field that names its activation. Default `hidden_act`. */
  readonly activationField?: string;
  /** Values of fields that it takes for others: `{ hidden_act: { gelu: 'gelu_pytorch_tanh' } }`. */
  readonly readAs?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Fields of `config.json` that it reads and a Llama does not, with their defaults. */
  readonly fields?: Partial<DecoderFields>;
  /** Where it is made in another way than a Llama. Default nowhere. */
  traits?(config: DecoderConfig): Partial<Traits>;
  /** Hugging Face PEFT's tables of default targets; see `ModelLayout.defaultTarget`. */
  readonly targets: Readonly<Record<string, readonly string[]>>;
}

/** The traits of a config: those of its record, else those of a Llama. */
export const traitsOf = ({ traits }: DecoderRecord, config: DecoderConfig): Traits => ({
  biases: { qkv: config.attentionBias, out: config.attentionBias, mlp: config.mlpBias },
  norm: 'rms',
  norms: {
    attn: { before: 'input_layernorm', after: null },
    mlp: { before: 'post_attention_layernorm', after: null },
  },
  queryKeyNorms: null,
  rotates: () => true,
  window: () => null,
  scoreScale: null,
  scoreCap: null,
  tokenScale: 1,
  rowScale: 1,
  residualScale: 1,
  logitScale: 1,
  logitCap: null,
  ...traits?.(config),
});
