import * as z from 'zod';
import type { Activation } from '../../activation.ts';
import { activationOf, activationSchema } from '../../config/activation.ts';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseShared } from '../../config/shared.ts';
import { checkTokenIds } from '../../config/token-ids.ts';
import type { DualRecord } from './record.ts';

/** Sizes of one tower. */
export interface SideConfig {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly normEps: number;
  readonly activation: Activation;
}

/**
 * A tower of texts beside one of pictures, whose last rows are projected into one space. `hiddenSize` and `layers` are those of the pictures' tower,
 * `vocabSize` and `maxPositions` of the texts'. Source: Radford and others, 2021; transformers, `CLIPConfig`.
 */
export interface DualConfig extends ModelConfig {
  readonly text: SideConfig;
  readonly vision: SideConfig & {
    /** Channels, height and width of a picture, in pixels. */
    readonly picture: readonly [channels: number, height: number, width: number];
    /** Side of a patch, in pixels. */
    readonly patch: number;
  };
  /** Width of the space in which pictures and texts are compared. */
  readonly projection: number;
  /** The logarithm of the scale that a new model begins with. */
  readonly firstScale: number;
  /** The one tower that there is, as in the class of classifiers. Default: there are both. */
  readonly only?: 'vision';
}

const count = z.int().min(1);

const side = {
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  hidden_act: activationSchema,
  layer_norm_eps: z.number().positive(),
  attention_dropout: z.number().optional(),
};

const textSchema = z.object({
  ...side,
  vocab_size: count,
  max_position_embeddings: count,
  projection_size: count.nullish(),
});

const visionSchema = z.object({
  ...side,
  num_channels: count,
  image_size: count,
  patch_size: count,
  // SigLIP's row that all patches make.
  vision_use_head: z.literal(true).default(true),
});

const part = z.record(z.string(), z.unknown()).nullish();

const schema = z.object({
  text_config: part,
  vision_config: part,
  // What older files have in place of the others.
  text_config_dict: part,
  vision_config_dict: part,
  projection_dim: count.optional(),
  logit_scale_init_value: z.number().default(2.6592),
});

const sideOf = (
  name: string,
  raw: z.infer<typeof textSchema> | z.infer<typeof visionSchema>,
  problems: string[],
): SideConfig => {
  if (raw.hidden_size % raw.num_attention_heads !== 0)
    problems.push(
      `${name}: hidden_size ${raw.hidden_size} is not a multiple of num_attention_heads ${raw.num_attention_heads}`,
    );
  return {
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads: raw.num_attention_heads,
    normEps: raw.layer_norm_eps,
    activation: activationOf[raw.hidden_act],
  };
};

/** Problems of a part of the file, with the part's name. */
const within = (name: string, problems: string[], read: (own: string[]) => void): void => {
  const own: string[] = [];
  read(own);
  problems.push(...own.map((problem) => `${name}: ${problem}`));
};

/** The config of a record's `model_type` by our names; or undefined; problems are collected. */
export const parseDual = (record: DualRecord, given: unknown, problems: string[]): DualConfig | undefined => {
  const raw = collect(schema, given, problems);
  if (!raw) return undefined;
  const texts = { ...record.defaults.text, ...(raw.text_config_dict ?? raw.text_config) };
  const pictures = { ...record.defaults.vision, ...(raw.vision_config_dict ?? raw.vision_config) };
  let text: z.infer<typeof textSchema> | undefined;
  let vision: z.infer<typeof visionSchema> | undefined;
  let shared: ReturnType<typeof parseShared>;
  const { architectures, id2label } = given as Readonly<Record<string, unknown>>;
  within('text_config', problems, (own) => {
    text = collect(textSchema, texts, own);
    // The ends that a config names where none is read may lie beyond the vocabulary: they are another tokenizer's.
    const ends = record.head.endsTexts ? {} : { bos_token_id: null, eos_token_id: null };
    shared = parseShared({ ...texts, ...ends, architectures, id2label }, own);
    if (text && shared) checkTokenIds(shared, text.vocab_size, own);
    if (record.head.endsTexts && shared && shared.eosIds.length !== 1)
      own.push('eos_token_id: one end of a text is needed, whose row stands for the text');
  });
  within('vision_config', problems, (own) => {
    vision = collect(visionSchema, pictures, own);
    if (vision && vision.image_size < vision.patch_size)
      own.push(`patch_size ${vision.patch_size} is larger than image_size ${vision.image_size}`);
  });
  if (!text || !vision || !shared) return undefined;
  return {
    ...shared,
    modelType: record.modelType,
    text: sideOf('text_config', text, problems),
    vision: {
      ...sideOf('vision_config', vision, problems),
      picture: [vision.num_channels, vision.image_size, vision.image_size],
      patch: vision.patch_size,
    },
    projection: record.head.projection(
      raw.projection_dim,
      text.projection_size ?? text.hidden_size,
      vision.hidden_size,
      problems,
    ),
    firstScale: raw.logit_scale_init_value,
    vocabSize: text.vocab_size,
    maxPositions: text.max_position_embeddings,
    hiddenSize: vision.hidden_size,
    layers: vision.num_hidden_layers,
    tieWordEmbeddings: false,
  };
};
