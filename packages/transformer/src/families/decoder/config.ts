import { shown } from '@peftjs/tensor';
import * as z from 'zod';
import type { Activation } from '../../activation.ts';
import { activationOf, activationSchema } from '../../config/activation.ts';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseRope, parseTwoRopes, type Rope } from '../../config/rope.ts';
import { parseShared } from '../../config/shared.ts';
import { checkTokenIds } from '../../config/token-ids.ts';
import { jsonName } from './field-names.ts';
import { inLlamasWords } from './other-words.ts';
import { type DecoderRecord, positionsOf, rotaryDimOf, rotaryShareField } from './record.ts';

/** The sight of a layer: all tokens, or those of a window. */
export type LayerType = 'full_attention' | 'sliding_attention';

/** Fields that some decoders have, named as in `config.json`, in camel case. */
export interface DecoderFields {
  /** Factor of the embedded rows. */
  readonly embeddingMultiplier: number;
  /** Factor of what half a block adds to the stream. */
  readonly residualMultiplier: number;
  /** Factor of the scores of attention. */
  readonly attentionMultiplier: number;
  /** Divisor of the logits. */
  readonly logitsScaling: number;
  /** 1 for each layer that rotates queries and keys, 0 for one that does not; null: by `noRopeLayerInterval`. */
  readonly noRopeLayers: readonly number[] | null;
  /** Every so many layers one does not rotate. */
  readonly noRopeLayerInterval: number;
  /** How many tokens a layer with a window sees; null where none has one. */
  readonly slidingWindow: number | null;
  /** False: no layer has a window, whatever else is said. */
  readonly useSlidingWindow: boolean;
  /** Layers from this one on have a window, where `layerTypes` does not say which. */
  readonly maxWindowLayers: number;
  /** Whether each layer sees all tokens or has a window; null: by the family's rule. */
  readonly layerTypes: readonly LayerType[] | null;
  /** Every so many layers one has no window, where `layerTypes` does not say which. */
  readonly slidingWindowPattern: number;
  /** The scores of attention are divided by its root. */
  readonly queryPreAttnScalar: number;
  /** Cap of the scores of attention; null for none. */
  readonly attnLogitSoftcapping: number | null;
  /** Cap of the logits; null for none. */
  readonly finalLogitSoftcapping: number | null;
  /** Factor of the logits; null for 1. */
  readonly logitScale: number | null;
  /** Whether queries and keys are normed. */
  readonly useQkNorm: boolean;
  /** The same. */
  readonly qkLayernorm: boolean;
  /** Whether the projections of queries, keys and values have a bias. */
  readonly useQkvBias: boolean;
  /** Whether both halves of a block read the same rows. */
  readonly useParallelResidual: boolean;
  /** Experts in a layer. */
  readonly numLocalExperts: number;
  /** The same; 0 for MLPs alone. */
  readonly numExperts: number;
  /** Experts that a token goes through. */
  readonly numExpertsPerTok: number;
  /** Width of an expert's MLP. */
  readonly moeIntermediateSize: number;
  /** Width of the MLP that all tokens go through beside their experts. */
  readonly sharedExpertIntermediateSize: number;
  /** Whether the weights of a token's experts are made to sum to 1. */
  readonly normTopkProb: boolean;
  /** Every so many layers one has experts. */
  readonly decoderSparseStep: number;
  /** Layers that have none. */
  readonly mlpOnlyLayers: readonly number[] | null;
  /** Whether the loss holds that of the experts' load. */
  readonly outputRouterLogits: boolean;
  /** Slope of the sigmoid in the gate of an expert. */
  readonly swigluAlpha: number;
  /** The gate of an expert and what it gates are bounded by it. */
  readonly swigluLimit: number;
  /** Factor of that loss. */
  readonly routerAuxLossCoef: number;
  /** Noise of the router's inputs in training. */
  readonly routerJitterNoise: number;
  /** Whether the projections of queries, keys and values have a bias. */
  readonly qkvBias: boolean;
  /** Whether norms come before each half of a block; else one after each sum. */
  readonly doLayerNormBefore: boolean;
  /** Whether there is no norm behind the last block; of models tuned with transformers before 4.20.1. */
  readonly removeFinalLayerNorm: boolean;
  /** Whether linear layers have biases. */
  readonly enableBias: boolean;
  /** Whether norms have weights. */
  readonly layerNormElementwiseAffine: boolean;
  /** Width of the embedded tokens, where it is not that of the stream; null where it is. */
  readonly wordEmbedProjDim: number | null;
  /** Whether what half a block makes is added to the rows of its norm, and not to the stream. */
  readonly applyResidualConnectionPostLayernorm: boolean;
  /** Whether what falls with the distance is added to scores, in place of rotary positions. */
  readonly alibi: boolean;
  /** Whether heads of keys are shared by some of queries, and both halves of a block read the stream. */
  readonly newDecoderArchitecture: boolean;
  /** Whether all heads of queries share one of keys. */
  readonly multiQuery: boolean;
  /** Whether both halves of a block read the same rows. */
  readonly parallelAttn: boolean;
  /** Norms of a block whose halves read the stream: one for each half, or one for both; null: by the family's rule. */
  readonly numLnInParallelAttn: number | null;
  /** Whether linear layers have biases. */
  readonly bias: boolean;
  /** The same. */
  readonly useBias: boolean;
  /** The context of pretraining of a model that was made longer. */
  readonly originalMaxPositionEmbeddings: number;
}

/**
 * A gated decoder: norms around each half of a block, rotary positions, grouped key/value heads, an MLP with a gate. How the halves are made is in
 * the record of its `modelType`.
 */
export interface DecoderConfig extends ModelConfig, Rope {
  /** Width of the MLP. */
  readonly intermediateSize: number;
  readonly heads: number;
  /** Heads of keys and values; `heads` is a multiple. */
  readonly keyValueHeads: number;
  /** Even; `heads * headDim` need not be `hiddenSize`. */
  readonly headDim: number;
  readonly normEps: number;
  /** `attention_bias`: whether the projections of attention have a bias, where a family leaves that open. */
  readonly attentionBias: boolean;
  /** `mlp_bias`: whether the three projections of the MLP have a bias, where a family leaves that open. */
  readonly mlpBias: boolean;
  readonly activation: Activation;
  /** The share of a head's values that is rotated, where it is not all. */
  readonly rotaryShare?: number;
  /** The rotary embedding of the layers with a window, where they have one of their own. */
  readonly localRope?: Rope;
  /** Further fields, of those families that read them. */
  readonly fields?: Partial<DecoderFields>;
  /** The module that holds the tower in a head's class, where it is another: what the head says. */
  readonly root?: string;
}

/**
 * A Llama-type decoder: RMSNorm before each half, rotary positions, grouped key/value heads, gated SiLU MLP.
 * Source: Touvron and others, 2023, https://arxiv.org/abs/2302.13971; transformers, `LlamaConfig`.
 */
export interface LlamaConfig extends DecoderConfig {
  readonly modelType: 'llama';
}

const count = z.int().min(1);
const factor = z.number().positive();
/** No model has more, and a file that says so is not believed. */
const experts = z.int().min(0).max(4096);

const layerType = z.enum(['full_attention', 'sliding_attention']);

const schema = z.object({
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  max_position_embeddings: count.default(2048),
  rms_norm_eps: z.number().positive().default(1e-6),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

const fieldSchemas: { readonly [F in keyof DecoderFields]: z.ZodType<DecoderFields[F]> } = {
  embeddingMultiplier: factor,
  residualMultiplier: factor,
  attentionMultiplier: factor,
  logitsScaling: factor,
  noRopeLayers: z.array(z.literal([0, 1])).nullable(),
  noRopeLayerInterval: count,
  slidingWindow: count.nullable(),
  useSlidingWindow: z.boolean(),
  maxWindowLayers: z.int().min(0),
  layerTypes: z.array(layerType).nullable(),
  slidingWindowPattern: count,
  queryPreAttnScalar: factor,
  attnLogitSoftcapping: factor.nullable(),
  finalLogitSoftcapping: factor.nullable(),
  logitScale: factor.nullable(),
  useQkNorm: z.boolean(),
  qkLayernorm: z.boolean(),
  useQkvBias: z.boolean(),
  useParallelResidual: z.boolean(),
  doLayerNormBefore: z.boolean(),
  removeFinalLayerNorm: z.boolean(),
  enableBias: z.boolean(),
  layerNormElementwiseAffine: z.literal(true),
  wordEmbedProjDim: count.nullable(),
  applyResidualConnectionPostLayernorm: z.boolean(),
  alibi: z.boolean(),
  newDecoderArchitecture: z.boolean(),
  multiQuery: z.boolean(),
  parallelAttn: z.boolean(),
  numLnInParallelAttn: z.union([z.literal(1), z.literal(2)]).nullable(),
  bias: z.boolean(),
  useBias: z.boolean(),
  originalMaxPositionEmbeddings: count,
  numLocalExperts: experts.min(1),
  numExperts: experts,
  numExpertsPerTok: count,
  moeIntermediateSize: count,
  sharedExpertIntermediateSize: count,
  normTopkProb: z.boolean(),
  decoderSparseStep: count,
  mlpOnlyLayers: z.array(z.int().min(0)).nullable(),
  outputRouterLogits: z.boolean(),
  swigluAlpha: factor,
  swigluLimit: factor,
  routerAuxLossCoef: z.number().min(0),
  routerJitterNoise: z.literal(0),
  qkvBias: z.boolean(),
};

/** The further fields of a record, by our names. */
const parseFields = (
  defaults: Partial<DecoderFields>,
  json: Readonly<Record<string, unknown>>,
  problems: string[],
): Partial<DecoderFields> | undefined => {
  const names = Object.keys(defaults) as (keyof DecoderFields)[];
  const shape = Object.fromEntries(
    names.map((name) => [jsonName(name), (fieldSchemas[name] as z.ZodType<unknown>).default(defaults[name])]),
  );
  const raw = collect(z.object(shape), json, problems);
  return raw && Object.fromEntries(names.map((name) => [name, raw[jsonName(name)]]));
};

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The share of a head that is rotated, of a record that has one, and the config without it: stated by a field of its own, or within
 * `rope_parameters`, as transformers 5 has it.
 */
const rotaryShareOf = (
  record: DecoderRecord,
  json: Readonly<Record<string, unknown>>,
  given: object,
  problems: string[],
): { readonly share: number | undefined; readonly rest: object } => {
  const rotaryField = rotaryShareField(record);
  if (rotaryField === null) return { share: undefined, rest: given };
  const forms = (['rope_parameters', 'rope_scaling'] as const).flatMap((field) => {
    const table = (given as Readonly<Record<string, unknown>>)[field];
    return isTable(table) ? [[field, table] as const] : [];
  });
  const nested = forms.map(([, { partial_rotary_factor: share }]) => share).find((share) => share != null);
  const share = nested ?? json[rotaryField];
  if (!(typeof share === 'number' && share > 0 && share <= 1))
    problems.push(`${rotaryField} must be above 0 and at most 1, got ${shown(share)}`);
  const without = forms.map(([field, { partial_rotary_factor: _, ...others }]) => [field, others]);
  return { share: Number(share), rest: { ...given, ...Object.fromEntries(without) } };
};

/** Tells where the kinds of layers and their window do not go together. */
const checkLayerTypes = (
  layers: number,
  { layerTypes, slidingWindow, useSlidingWindow = true }: Partial<DecoderFields> = {},
  problems: string[],
): void => {
  if (!layerTypes) return;
  if (layerTypes.length !== layers) problems.push(`layer_types has ${layerTypes.length} entries for ${layers} layers`);
  if (layerTypes.includes('sliding_attention') && !(slidingWindow && useSlidingWindow))
    problems.push('layer_types: sliding_attention without a sliding_window in use is not supported');
};

/** The config of a record's `model_type` by our names with the defaults of its class of configs; or undefined; problems are collected. */
export const parseDecoder = (record: DecoderRecord, file: unknown, problems: string[]): DecoderConfig | undefined => {
  const given = inLlamasWords(record, Object(file) as Readonly<Record<string, unknown>>);
  const stated: Readonly<Record<string, unknown>> = { ...record.defaults, ...(given as object) };
  const taken = Object.entries(record.readAs ?? {}).map(([name, other]) => [
    name,
    other[String(stated[name])] ?? stated[name],
  ]);
  const json: Readonly<Record<string, unknown>> = { ...stated, ...Object.fromEntries(taken) };
  const { epsField = 'rms_norm_eps' } = record;
  const raw = collect(schema, { ...json, rms_norm_eps: json[epsField] }, problems);
  const acts = record.activations ? z.literal(record.activations) : activationSchema;
  const { activationField = 'hidden_act' } = record;
  const act = collect(z.object({ [activationField]: acts.default('silu') }), json, problems)?.[activationField];
  const fields = record.fields && parseFields(record.fields, json, problems);
  const { thetaField = 'rope_theta' } = record;
  const positions = positionsOf(record, fields);
  const theta = Number(record.defaults?.[thetaField] ?? 10_000);
  // Where the file does not say how long texts are, its class of configs does.
  const { share, rest } = rotaryShareOf(record, json, given as object, problems);
  const ofRope = {
    max_position_embeddings: json['max_position_embeddings'],
    ...rest,
    rope_theta: (given as Readonly<Record<string, unknown>>)[thetaField] ?? undefined,
  };
  const rope =
    record.localTheta === undefined
      ? parseRope(ofRope, theta, problems)
      : parseTwoRopes(ofRope, [theta, record.localTheta], problems);
  const shared = parseShared(json, problems);
  if (!raw || !act || !rope || !shared || (record.fields && !fields)) return undefined;
  const heads = raw.num_attention_heads;
  const keyValueHeads = raw.num_key_value_heads ?? heads;
  const headDim = raw.head_dim ?? raw.hidden_size / heads;
  const rotated = rotaryDimOf({ headDim, ...(share !== undefined && { rotaryShare: share }) });
  if (!Number.isInteger(headDim))
    problems.push(`hidden_size ${raw.hidden_size} is not a multiple of num_attention_heads ${heads}`);
  else if (positions === 'rotary' && (rotated % 2 !== 0 || rotated < 2))
    problems.push(
      share === undefined
        ? `head_dim ${headDim} is odd; rotary positions turn pairs`
        : `head_dim ${headDim} and a share of ${share} make no pairs for rotary positions to turn`,
    );
  if (heads % keyValueHeads !== 0)
    problems.push(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${keyValueHeads}`);
  const { ropeScaling } = rope;
  const pairs = rotated / 2;
  if (ropeScaling?.kind === 'longrope')
    for (const [name, list] of [
      ['short_factor', ropeScaling.shortFactors],
      ['long_factor', ropeScaling.longFactors],
    ] as const)
      if (list.length !== pairs) problems.push(`${name} has ${list.length} entries for ${pairs} pairs`);
  const uses = fields?.noRopeLayers;
  if (uses && uses.length < raw.num_hidden_layers)
    problems.push(`no_rope_layers has ${uses.length} entries for ${raw.num_hidden_layers} layers`);
  checkLayerTypes(raw.num_hidden_layers, fields, problems);
  const { numExperts, numLocalExperts = numExperts, numExpertsPerTok = 0 } = fields ?? {};
  if (numLocalExperts && numExpertsPerTok > numLocalExperts)
    problems.push(`num_experts_per_tok ${numExpertsPerTok} is more than the ${numLocalExperts} experts`);
  checkTokenIds(shared, raw.vocab_size, problems);
  return {
    modelType: record.modelType,
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads,
    keyValueHeads,
    headDim,
    maxPositions: positions.endsWith('alibi') ? Number.POSITIVE_INFINITY : raw.max_position_embeddings,
    normEps: raw.rms_norm_eps,
    tieWordEmbeddings: raw.tie_word_embeddings,
    attentionBias: raw.attention_bias,
    mlpBias: raw.mlp_bias,
    activation: activationOf[act],
    ...rope,
    ...shared,
    ...(share !== undefined && { rotaryShare: share }),
    ...(fields && { fields }),
  };
};
