import * as z from 'zod';
import type { Activation } from '../../activation.ts';
import { activationOf, activationSchema } from '../../config/activation.ts';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseShared } from '../../config/shared.ts';
import { checkTokenIds } from '../../config/token-ids.ts';
import type { Convolution } from './convolution.ts';
import { type EncoderRecord, firstPosition } from './record.ts';

/**
 * An encoder of BERT's kind: every token sees all; learned positions and token types; LayerNorm after each residual sum.
 * Source: Devlin and others, 2018; transformers, `BertConfig` and those like it.
 */
export interface EncoderConfig extends ModelConfig {
  /** Width of the MLP. */
  readonly intermediateSize: number;
  readonly heads: number;
  readonly headDim: number;
  /** How many kinds of tokens there are: those of a first text, of a second, …; 0 where they are not told apart. */
  readonly tokenTypes: number;
  readonly normEps: number;
  readonly activation: Activation;
  /** Width of the tables of the embedding. Default `hiddenSize`. */
  readonly embeddingSize?: number;
  /** Blocks that have weights of their own; each is used for as many layers, one after the other. Default `layers`. */
  readonly groups?: number;
  readonly disentangled?: Disentangled;
  /** Of the layer before a classifier of texts. Default that of the record. */
  readonly poolerActivation?: Activation;
  readonly summary?: Summary;
  readonly convolution?: Convolution;
}

/** The way from a text's rows to the one that tells choices apart, where the config says it: ELECTRA. transformers, `ElectraSequenceSummary`. */
export interface Summary {
  /** The row that is read: the first, the last, or the mean of all, those of padding among them. */
  readonly reads: 'first' | 'last' | 'mean';
  /** Whether it goes through a layer. */
  readonly projects: boolean;
  /** The function after that; null for none. */
  readonly activation: Activation | null;
}

/** How contents and relative positions attend to each other, where they do so apart: DeBERTa. */
export interface Disentangled {
  /** Whether relative positions attend at all. */
  readonly relative: boolean;
  /** Relative positions that are told apart to either side; 0 or less: all up to `maxDistance`. */
  readonly buckets: number;
  readonly maxDistance: number;
  readonly contentToPosition: boolean;
  readonly positionToContent: boolean;
  /** Whether contents and positions go through the same layers. */
  readonly sharedKeys: boolean;
  /** Whether the rows of relative positions are normed. */
  readonly normed: boolean;
  /** Whether absolute positions are added to the embedded tokens too. */
  readonly absolute: boolean;
}

/** A BERT encoder. */
export interface BertConfig extends EncoderConfig {
  readonly modelType: 'bert';
}

const count = z.int().min(1);

const schema = z.object({
  vocab_size: count,
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  intermediate_size: count,
  hidden_act: activationSchema,
  max_position_embeddings: count,
  type_vocab_size: z.int().min(0),
  layer_norm_eps: z.number().positive(),
  tie_word_embeddings: z.boolean().default(true),
  pad_token_id: z.int().nullable(),
  position_embedding_type: z.literal('absolute').default('absolute'),
  is_decoder: z.literal(false).default(false),
  add_cross_attention: z.literal(false).default(false),
  embedding_size: count.optional(),
  num_hidden_groups: count.optional(),
  inner_group_num: z.literal(1).optional(),
});

const disentangledSchema = z.object({
  relative_attention: z.boolean().default(false),
  position_buckets: z.int().default(-1),
  max_relative_positions: z.int().default(-1),
  pos_att_type: z.union([z.string(), z.array(z.string())]).nullish(),
  share_att_key: z.boolean().default(false),
  norm_rel_ebd: z.string().default('none'),
  position_biased_input: z.boolean().default(true),
  pooler_hidden_act: activationSchema,
});

/** The fields of DeBERTa by our names; or undefined; problems are collected. */
const parseDisentangled = (
  json: Readonly<Record<string, unknown>>,
  most: number,
  problems: string[],
): Pick<EncoderConfig, 'disentangled' | 'poolerActivation'> | undefined => {
  const raw = collect(disentangledSchema, json, problems);
  if (!raw) return undefined;
  const listed = (value: string | readonly string[]): readonly string[] =>
    typeof value === 'string' ? value.toLowerCase().split('|') : value;
  const kinds = listed(raw.pos_att_type ?? []).map((kind) => kind.trim());
  for (const kind of kinds)
    if (!['c2p', 'p2c', ''].includes(kind)) problems.push(`pos_att_type: ${JSON.stringify(kind)} is not supported`);
  const maxDistance = raw.max_relative_positions < 1 ? most : raw.max_relative_positions;
  if (raw.position_buckets > 0 && maxDistance - 1 <= Math.max(1, raw.position_buckets / 2))
    problems.push(`max_relative_positions ${maxDistance} is too small for position_buckets ${raw.position_buckets}`);
  return {
    poolerActivation: activationOf[raw.pooler_hidden_act],
    disentangled: {
      relative: raw.relative_attention,
      buckets: raw.position_buckets,
      maxDistance,
      contentToPosition: kinds.includes('c2p'),
      positionToContent: kinds.includes('p2c'),
      sharedKeys: raw.share_att_key,
      normed: listed(raw.norm_rel_ebd).some((kind) => kind.trim() === 'layer_norm'),
      absolute: raw.position_biased_input,
    },
  };
};

const summarySchema = z.object({
  // Without an index of its own the class reads the last row by it.
  summary_type: z.literal(['first', 'last', 'mean', 'cls_index']),
  summary_use_proj: z.boolean(),
  summary_proj_to_labels: z.literal(false).optional(),
  // Older files have null for none, and transformers 5 takes no null.
  summary_activation: z.union([activationSchema, z.literal(['', 'linear'])]).nullable(),
});

/** A summary's fields by our names; or undefined; problems are collected. */
const parseSummary = (
  json: Readonly<Record<string, unknown>>,
  problems: string[],
): Pick<EncoderConfig, 'summary'> | undefined => {
  const raw = collect(summarySchema, json, problems);
  if (!raw) return undefined;
  const { summary_type: type, summary_use_proj: projects, summary_activation: named } = raw;
  const activation = named === null || named === '' || named === 'linear' ? null : activationOf[named];
  return { summary: { reads: type === 'cls_index' ? 'last' : type, projects, activation } };
};

const convolutionSchema = z.object({
  conv_kernel_size: z.int().min(0).default(0),
  conv_act: activationSchema.default('tanh'),
  conv_groups: z.literal(1).default(1),
});

/** A convolution's fields by our names, nothing where there is none; or undefined; problems are collected. */
const parseConvolution = (
  json: Readonly<Record<string, unknown>>,
  problems: string[],
): Pick<EncoderConfig, 'convolution'> | undefined => {
  const raw = collect(convolutionSchema, json, problems);
  if (!raw) return undefined;
  const { conv_kernel_size: kernel, conv_act: named } = raw;
  if (kernel === 0) return {};
  if (kernel % 2 === 0) problems.push(`conv_kernel_size: ${kernel} is not supported; odd ones are`);
  return { convolution: { kernel, activation: activationOf[named] } };
};

const optional = ['embedding_size', 'num_hidden_groups', 'inner_group_num'];

/** A file's fields by BERT's names, where it says anything of them. */
const renamed = (
  { fieldNames = {}, defaults, fixed = {} }: EncoderRecord,
  json: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> => {
  const left = new Set([...optional.filter((name) => !Object.hasOwn(defaults, name)), ...Object.values(fieldNames)]);
  const own = Object.entries(json).filter(([name]) => !left.has(name));
  const named = Object.entries(fieldNames).flatMap(([name, theirs]) =>
    Object.hasOwn(json, theirs) ? [[name, json[theirs]] as const] : [],
  );
  return { ...defaults, ...Object.fromEntries([...own, ...named]), ...fixed };
};

/** The config of a record's `model_type` by our names with the defaults of its class of configs; or undefined; problems are collected. */
export const parseEncoder = (record: EncoderRecord, given: unknown, problems: string[]): EncoderConfig | undefined => {
  const stated = given as Readonly<Record<string, unknown>>;
  const json = renamed(record, stated);
  const found: string[] = [];
  const raw = collect(schema, json, found);
  const shared = parseShared(json, found);
  const { fieldNames = {}, only = {} } = record;
  problems.push(...found.map((problem) => problem.replace(/^\w+/, (name) => fieldNames[name] ?? name)));
  for (const [name, value] of Object.entries(only))
    if ((json[name] ?? value) !== value) problems.push(`${name}: ${JSON.stringify(json[name])} is not supported`);
  if (!raw || !shared) return undefined;
  for (const name of record.sameAsHidden ?? [])
    if ((stated[name] ?? raw.hidden_size) !== raw.hidden_size)
      problems.push(`${name}: ${JSON.stringify(stated[name])} is not supported; hidden_size ${raw.hidden_size} is`);
  const apart = record.disentangled && parseDisentangled(json, raw.max_position_embeddings, problems);
  const summary = record.summary && parseSummary(json, problems);
  const convolution = record.convolution && parseConvolution(json, problems);
  const headDim = raw.hidden_size / raw.num_attention_heads;
  if (!Number.isInteger(headDim))
    problems.push(`hidden_size ${raw.hidden_size} is not a multiple of num_attention_heads ${raw.num_attention_heads}`);
  const hasTypes = { type_vocab_size: 2, ...record.defaults, ...record.fixed }.type_vocab_size !== 0;
  if (hasTypes && raw.type_vocab_size === 0) problems.push('type_vocab_size: must be at least 1, got 0');
  const groups = raw.num_hidden_groups;
  if (groups !== undefined && raw.num_hidden_layers % groups !== 0)
    problems.push(`num_hidden_layers ${raw.num_hidden_layers} is not a multiple of num_hidden_groups ${groups}`);
  checkTokenIds(shared, raw.vocab_size, problems);
  const config: EncoderConfig = {
    modelType: record.modelType,
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads: raw.num_attention_heads,
    headDim,
    maxPositions: raw.max_position_embeddings,
    tokenTypes: raw.type_vocab_size,
    normEps: raw.layer_norm_eps,
    tieWordEmbeddings: raw.tie_word_embeddings,
    activation: activationOf[raw.hidden_act],
    ...(raw.embedding_size !== undefined && { embeddingSize: raw.embedding_size }),
    ...(groups !== undefined && { groups }),
    ...apart,
    ...summary,
    ...convolution,
    ...shared,
  };
  const first = firstPosition(record, config);
  if (record.unplacedToken && first === 0)
    problems.push('pad_token_id: must be a token, as positions are counted from it');
  if (config.maxPositions <= first)
    problems.push(
      `max_position_embeddings ${config.maxPositions} leaves no position after ${first} that no token takes`,
    );
  return { ...config, maxPositions: config.maxPositions - first };
};
