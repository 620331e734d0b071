import type { activationOf } from '../../config/activation.ts';
import type { CheckpointLayout } from '../checkpoint-layout.ts';
import type { DecoderConfig, DecoderFields } from './config.ts';
import type { ExpertFileNames, ExpertsTrait } from './experts.ts';

/** The norms of half a block by name: before it, of what it reads, and after it, of what it adds to the stream; null where there is none. */
export interface HalfNorms {
  readonly before: string | null;
  readonly after: string | null;
  /** That of the stream with the half's rows added to it. Default none. */
  readonly sum?: string;
}

/**
 * The way in which a decoder tells positions apart: it rotates queries and keys, adds rows of a learned table to the tokens', or adds to scores what
 * falls with the distance (ALiBi, exactly or as `coarseAlibi` does).
 */
export type Positions = 'rotary' | 'learned' | 'alibi' | 'coarse-alibi';

/** How the blocks of a decoder are made, where decoders differ. */
export interface Traits {
  /** Which projections have a bias: those of queries, keys and values; that of attention's output; those of the MLP. */
  readonly biases: { readonly qkv: boolean; readonly out: boolean; readonly mlp: boolean };
  /** `rms` scales by the weight, `rms-plus-one` by 1 + the weight, `layer` also takes the mean away. */
  readonly norm: 'rms' | 'rms-plus-one' | 'layer';
  /** Whether norms have a bias. */
  readonly normBias: boolean;
  /** Whether both halves of a block read the same rows of the stream, and what both make is added to it at once. */
  readonly parallel: boolean;
  /** Whether what a half makes is added to what it read, the rows of its norm, and not to the stream. */
  readonly addsToRead: boolean;
  readonly positions: Positions;
  /** Width of the embedded tokens; where it is not that of the stream, `project_in` makes the stream of them, and `project_out` such rows of it for the head. */
  readonly tokenWidth: number;
  /** The norm of all rows that the first block reads; null for none. */
  readonly rowNorm: string | null;
  /** Whether there is a norm behind the last block. */
  readonly lastNorm: boolean;
  /** Whether the MLP has a gate, or is down(act(up(x))). */
  readonly gated: boolean;
  /** The experts in place of the MLP; null for none. */
  readonly experts: ExpertsTrait | null;
  /** How many values of a head are rotated, the first ones; even. */
  readonly rotaryDim: number;
  /** The two values that are rotated together: those half a head apart, or neighbours. */
  readonly rotaryPairs: 'halves' | 'neighbours';
  /** Whether the language model's head has a bias. */
  readonly headBias: boolean;
  readonly norms: { readonly attn: HalfNorms; readonly mlp: HalfNorms };
  /**
   * Norms of queries and keys before they are rotated: of each head's values, with the same weights for all or with weights of their own and no bias,
   * of those of all heads together, or none.
   */
  readonly queryKeyNorms: 'by-head' | 'each-head' | 'all-heads' | null;
  /** Whether a layer rotates queries and keys by position. */
  rotates(layer: number): boolean;
  /** How many rows a row of a layer sees at most, itself and those right before it; null where it sees all. */
  window(layer: number): number | null;
  /** Factor of the scores of attention; null for 1/√headDim. */
  readonly scoreScale: number | null;
  /** The scores s of attention become scoreCap · tanh(s / scoreCap); null: they stay as they are. */
  readonly scoreCap: number | null;
  /** Whether each head has a score beside those of all keys, whose value is zeros: `sinks`. */
  readonly sinks: boolean;
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

/** A parsed `config.json`. */
type Json = Readonly<Record<string, unknown>>;

/** Names of a decoder's layers. */
export interface DecoderNames {
  /** The module that holds the table, the blocks and the last norm. */
  readonly root: string;
  /** The list of blocks in it. */
  readonly blocks: string;
  readonly tokens: string;
  /** The table of positions, where they are learned. */
  readonly positions: string;
  /** The norm behind the last block. */
  readonly last: string;
  readonly attn: string;
  /** '' where the MLP's layers lie in the block itself; its site is then at the last of them. */
  readonly mlp: string;
  readonly query: string;
  readonly key: string;
  readonly value: string;
  /** One layer whose outputs are all queries, then all keys, then all values; null where these are three. */
  readonly queryKeyValue: string | null;
  /** Whether the outputs of that one go by heads of keys instead, each with its queries, key and value. */
  readonly byHead: boolean;
  /** Norms of queries and of keys, where there are such. */
  readonly queryNorm: string;
  readonly keyNorm: string;
  readonly attnOut: string;
  /** An attention's layers in the order in which the class makes them, which methods count them by */
  readonly attnOrder: readonly ('query' | 'key' | 'value' | 'queryKeyValue' | 'attnOut')[];
  readonly gate: string;
  readonly up: string;
  /** One layer whose outputs are those of the gate, then what it gates; null where these are two. */
  readonly gateUp: string | null;
  readonly down: string;
  /** The layer that chooses experts, where there are some. */
  readonly router: string;
  readonly head: string;
}

/** Rows of a learned table of positions that no token has; hidden ones have the last of them. A leftover of counting from the padding's id. */
export const unusedPositions = 2;

const llamaNames: DecoderNames = {
  root: 'model',
  blocks: 'layers',
  tokens: 'embed_tokens',
  positions: 'embed_positions',
  last: 'norm',
  attn: 'self_attn',
  mlp: 'mlp',
  query: 'q_proj',
  key: 'k_proj',
  value: 'v_proj',
  queryKeyValue: null,
  byHead: false,
  queryNorm: 'q_norm',
  keyNorm: 'k_norm',
  attnOut: 'o_proj',
  attnOrder: ['queryKeyValue', 'query', 'key', 'value', 'attnOut'],
  gate: 'gate_proj',
  up: 'up_proj',
  gateUp: null,
  down: 'down_proj',
  router: 'gate',
  head: 'lm_head',
};

/** The names of a record: its own, else those of a Llama; of a config's class, where this has them in another module. */
export const namesOf = ({ names }: DecoderRecord, config?: DecoderConfig): DecoderNames => ({
  ...llamaNames,
  ...names,
  ...(config?.root && { root: config.root }),
});

/** The path of a layer in a module, '' for none. */
export const within = (module: string, name: string): string => (module === '' ? name : `${module}.${name}`);

/** One norm before each half of a block, by name; the same of both where they read the same rows. */
export const normsBefore = (attn: string, mlp: string = attn): Traits['norms'] => ({
  attn: { before: attn, after: null },
  mlp: { before: mlp, after: null },
});

/** Layers as GPT has them, and most decoders before Llama: LayerNorm with a bias, an MLP without a gate. `biases`: of all alike, or by projection. */
export const gptLayers = (
  biases: Traits['biases'] | boolean,
): Pick<Traits, 'biases' | 'norm' | 'normBias' | 'gated'> => ({
  biases: typeof biases === 'boolean' ? { qkv: biases, out: biases, mlp: biases } : biases,
  norm: 'layer',
  normBias: true,
  gated: false,
});

/** PEFT's default targets of decoders with one layer for queries, keys and values. */
export const fusedTargets: DecoderRecord['targets'] = {
  lora: ['query_key_value'],
  ia3: ['query_key_value', 'dense_4h_to_h'],
  ia3Feedforward: ['dense_4h_to_h'],
};

/** All that tells one `model_type` of decoders from others: a new one is such a record and a row of goldens. */
export interface DecoderRecord {
  readonly modelType: string;
  /** The word that its classes in transformers begin with: `Qwen3` of `Qwen3ForCausalLM`. */
  readonly stem: string;
  /** The same of its class of classifiers, where it is another. */
  readonly classifierStem?: string;
  /** Whether transformers has a class of classifiers for it. Default true. */
  readonly classifies?: boolean;
  /** The layer of its class that classifies tokens: `score` (`GenericForTokenClassification`) or `classifier`. Default: there is none. */
  readonly tags?: 'score' | 'classifier';
  /** The module that holds the table, the blocks and the last norm in its class that finds answers, mostly that of the others. Default: there is none. */
  readonly answers?: string;
  /** Default `rotary`; of the further fields, where these say it. */
  readonly positions?: Positions | ((fields: Partial<DecoderFields>) => Positions);
  /** The base of the rotary embedding that layers with a window have, where it is one of their own. */
  readonly localTheta?: number;
  /** Defaults of its class of configs in transformers, by the names in `config.json`, where they are not Llama's. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** Names of the activations that it has. Default all that there are. */
  readonly activations?: readonly (keyof typeof activationOf)[];
  /** Names of its layers, where they are not a Llama's. */
  readonly names?: Partial<DecoderNames>;
  /** Tensors that old checkpoints carry and nothing reads. Default those of rope. */
  readonly ignored?: RegExp;
  /** Names of its experts' matrices in files, of a record that has experts, and those of parts of names there. */
  readonly expertFiles?: ExpertFileNames & { readonly names?: CheckpointLayout['names'] };
  /** The list in which its files hold the norms of queries and of keys, of a record whose heads each have one. Default: files hold them as one table. */
  readonly headNorms?: string;
  /** Matrices that its files hold as [in, out]. Default none. */
  readonly transposed?: RegExp;
  /** The field that holds the ε of its norms. Default `rms_norm_eps`. */
  readonly epsField?: string;
  /** The field that holds the base of the rotary embedding. Default `rope_theta`. */
  readonly thetaField?: string;
  /** The field that holds the share of a head that is rotated. Default `partial_rotary_factor`. */
  readonly rotaryField?: string;
  /** The field that names its activation. Default `hidden_act`. */
  readonly activationField?: string;
  /** Values of fields that it takes for others: `{ hidden_act: { gelu: 'gelu_pytorch_tanh' } }`. */
  readonly readAs?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Fields of `config.json` that it reads and a Llama does not, with their defaults. */
  readonly fields?: Partial<DecoderFields>;
  /** Fields of its `config.json` by the names of a Llama's that they are; transformers takes either name, and of both its own. `defaults` are by its own. */
  readonly ownNames?: Readonly<Record<string, string>>;
  /** Fields of a Llama's that its class does not read. Default none. */
  readonly unread?: readonly string[];
  /** Further differences of its `config.json` from a Llama's: `read` is given it in the words of a Llama's, and as it lies there; `write` in its own words. */
  readonly words?: {
    /** Other names of fields that it reads. Default none. */
    readonly names?: readonly string[];
    read?(json: Json, file: Json): Json;
    write?(json: Json, config: DecoderConfig): Json;
  };
  /** Where it is made in another way than a Llama. Default nowhere. */
  traits?(config: DecoderConfig): Partial<Traits>;
  /** Hugging Face PEFT's tables of default targets; see `ModelLayout.defaultTarget`. */
  readonly targets: Readonly<Record<string, readonly string[]>>;
}

/** The field of the share of a head that is rotated, of a record that has a default for it. */
export const rotaryShareField = ({ defaults, rotaryField = 'partial_rotary_factor' }: DecoderRecord): string | null =>
  defaults?.[rotaryField] === undefined ? null : rotaryField;

/** How many values of a head are rotated; as transformers rounds. */
export const rotaryDimOf = ({ headDim, rotaryShare = 1 }: Pick<DecoderConfig, 'headDim' | 'rotaryShare'>): number =>
  // A share that was made of a whole number gives that number again.
  Math.trunc(headDim * rotaryShare + 1e-9);

/** How a record's models with these fields tell positions apart. */
export const positionsOf = ({ positions = 'rotary' }: DecoderRecord, fields: Partial<DecoderFields> = {}): Positions =>
  typeof positions === 'function' ? positions(fields) : positions;

const ofRecord = (traits: DecoderRecord['traits'], positions: Positions, config: DecoderConfig): Traits => ({
  biases: { qkv: config.attentionBias, out: config.attentionBias, mlp: config.mlpBias },
  norm: 'rms',
  normBias: false,
  parallel: false,
  addsToRead: false,
  positions,
  tokenWidth: config.hiddenSize,
  rowNorm: null,
  lastNorm: true,
  gated: true,
  experts: null,
  rotaryDim: rotaryDimOf(config),
  rotaryPairs: 'halves',
  headBias: false,
  norms: {
    attn: { before: 'input_layernorm', after: null },
    mlp: { before: 'post_attention_layernorm', after: null },
  },
  queryKeyNorms: null,
  rotates: () => positions === 'rotary',
  window: () => null,
  scoreScale: null,
  scoreCap: null,
  sinks: false,
  tokenScale: 1,
  rowScale: 1,
  residualScale: 1,
  logitScale: 1,
  logitCap: null,
  ...traits?.(config),
});

/** The traits of a config: those of its record, else those of a Llama. */
export const traitsOf = (record: DecoderRecord, config: DecoderConfig): Traits =>
  ofRecord(record.traits, positionsOf(record, config.fields), config);
