import type { DataFormat } from '@peftjs/data';
import * as z from 'zod';
import { type Factory, methods } from '../methods.ts';
import type { Named } from './named.ts';
import { objective, task } from './task-schema.ts';

/** Formats of data that a run learns from. */
const formats = [
  'messages',
  'completions',
  'alpaca',
  'text',
  'targets',
  'labels',
  'tags',
  'preferences',
  'judged',
] as const satisfies readonly DataFormat[];

const count = z.int().min(1);
const positive = z.number().positive();
const share = z.number().min(0).max(1);

/** The option of a method as one of the schema: what it accepts is what the method itself does. */
const optionSchema = ({ accepts, expected }: { accepts(value: unknown): boolean; readonly expected: string }) =>
  z.custom((value) => accepts(value), { error: `must be ${expected}` }).describe(expected);

/** The options that every optimiser has, and those of one. */
const optimizerSchema = <N extends string, S extends z.core.$ZodLooseShape>(name: N, about: string, own: S) =>
  z
    .strictObject({
      name: z.literal(name),
      rate: positive.optional().describe("highest learning rate; default: the method's own"),
      clip: z.number().min(0).default(1).describe('largest norm of the gradient; 0: it is not clipped'),
      ...own,
    })
    .describe(about);

const moments = {
  beta1: share.optional().describe('decay of the mean of gradients'),
  beta2: share.optional().describe('decay of the mean of their squares'),
  eps: positive.optional().describe('added to the denominator'),
};
const weightDecay = z.number().min(0).optional().describe('decoupled weight decay');

/** The optimisers by name. */
const optimizer = z.discriminatedUnion('name', [
  optimizerSchema('adamw', 'AdamW', { ...moments, weightDecay }),
  optimizerSchema('adamw8bit', 'AdamW with its state in 8 bits', { ...moments, weightDecay }),
  optimizerSchema('lion', 'Lion', { beta1: moments.beta1, beta2: moments.beta2, weightDecay }),
  optimizerSchema('sgd', 'stochastic gradient descent', {
    momentum: share.optional(),
    nesterov: z.boolean().optional(),
    weightDecay,
  }),
  optimizerSchema('muon', 'Muon for matrices, AdamW for the rest', { momentum: share.optional(), weightDecay }),
  optimizerSchema('scheduleFree', 'schedule-free AdamW, for `schedule: constant`; what is saved is its average', {
    ...moments,
    weightDecay,
  }),
  optimizerSchema('prodigy', 'Prodigy, which finds its step size; rate is a factor of it, by default 1', {
    ...moments,
    weightDecay,
    start: positive.optional().describe('step size to begin with'),
    factor: positive.optional().describe('factor of the step size that is found'),
    biasCorrection: z.boolean().optional(),
    safeguardWarmup: z.boolean().optional(),
  }),
  optimizerSchema('adafactor', 'Adafactor with a rate that is given', { weightDecay }),
]);

const warmup = share.default(0.06).describe('share of the steps over which the rate grows from 0');
const floor = share.optional().describe('rate at the end, as a share of the highest');

const scheduleSchema = <N extends string, S extends z.core.$ZodLooseShape>(name: N, about: string, own: S) =>
  z.strictObject({ name: z.literal(name), ...own }).describe(about);

/** The schedules by name. */
const schedule = z.discriminatedUnion('name', [
  scheduleSchema('cosine', 'half a cosine down to the floor', { warmup, floor }),
  scheduleSchema('linear', 'a straight line down to the floor', { warmup, floor }),
  scheduleSchema('constant', 'always the highest rate', { warmup }),
  scheduleSchema('cosineRestarts', 'several half cosines', { warmup, floor, cycles: count.optional() }),
  scheduleSchema('polynomial', 'a power of what is left', { warmup, floor, power: positive.optional() }),
  scheduleSchema('inverseSqrt', 'one over the root of the step', { warmup, timescale: positive.optional() }),
  scheduleSchema('wsd', 'constant, then a fall over the last share of the steps', {
    warmup,
    floor,
    decay: share.default(0.2),
    shape: z.enum(['cosine', 'linear', 'sqrt']).optional(),
  }),
  scheduleSchema('reduceOnPlateau', 'lower where the held-out loss stands still', {
    factor: share.optional(),
    patience: z.int().min(0).optional(),
    threshold: z.number().min(0).optional(),
    cooldown: z.int().min(0).optional(),
    floor,
  }),
]);

const data = z.strictObject({
  train: z
    .array(z.string())
    .min(1)
    .describe('files of JSON lines, CSV, Parquet or text; of pictures a folder with one for each class'),
  heldOut: z
    .union([share, z.string()], { error: 'must be a share from 0 to 1, or the name of a file' })
    .default(0.05)
    .describe('share of the examples that is held out to measure the loss on, or a file of such; 0 for none'),
  format: z.enum(formats).optional().describe('the format of the examples; default: by their fields'),
  fields: z
    .record(z.string(), z.string())
    .optional()
    .describe('fields that are called otherwise, by the name that the format has: { text: review }'),
  as: z
    .enum(['messages', 'text'])
    .default('messages')
    .describe('whether prompts and completions are written as messages, by the chat template, or as they are'),
  learn: z.enum(['assistant', 'all']).default('assistant').describe('what the assistant says, or all'),
  template: z.string().optional().describe("file of a chat template (Jinja) in place of the model's"),
  context: count.optional().describe('tokens of an example, at most; default: what the model takes, up to 1024'),
  tooLong: z.enum(['cut', 'skip', 'error']).default('cut').describe('examples that are longer'),
});

/** A method with its options, for each method that there is. */
const ofMethod = ({ name, about, options = {} }: Factory): z.ZodObject =>
  z
    .strictObject({
      name: z.literal(name),
      ...Object.fromEntries(Object.entries(options).map(([key, option]) => [key, optionSchema(option).optional()])),
    })
    .describe(about);

const [first, ...others] = [...methods.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).map(ofMethod);
const methodSchema = z.discriminatedUnion('name', [first!, ...others]) as unknown as z.ZodType<Named, Named>;

const logNames = ['tensorboard', 'mlflow', 'wandb'] as const;

/** Where the numbers of a run can go beside its folder. */
export type LogName = (typeof logNames)[number];

/** A run with its defaults filled in; the schema below says what each field means. */
export interface RunConfig {
  readonly model?: string | undefined;
  readonly dtype: 'f32' | 'f16';
  readonly quantize?: 'int8' | 'int4' | 'nf4' | 'fp4' | 'fp8' | 'hqq' | undefined;
  readonly compute?: 'int8' | undefined;
  readonly device?: 'cpu' | 'webgpu' | undefined;
  readonly threads?: number | undefined;
  readonly data: {
    readonly train: readonly string[];
    readonly heldOut: number | string;
    readonly format?: DataFormat | undefined;
    readonly fields?: Readonly<Record<string, string>> | undefined;
    readonly as: 'messages' | 'text';
    readonly learn: 'assistant' | 'all';
    readonly template?: string | undefined;
    readonly context?: number | undefined;
    readonly tooLong: 'cut' | 'skip' | 'error';
  };
  readonly task: Named;
  readonly objective?: Named | undefined;
  readonly method: Named;
  readonly optimizer: Named & { readonly rate?: number | undefined; readonly clip: number };
  readonly schedule: Named & { readonly warmup?: number | undefined };
  readonly steps?: number | undefined;
  readonly epochs?: number | undefined;
  readonly batchSize: number;
  readonly accumulate: number;
  readonly recompute: boolean | number;
  readonly evaluateEvery?: number | undefined;
  readonly checkpointEvery?: number | undefined;
  readonly logs: readonly LogName[];
  readonly seed: number;
  readonly out: string;
}

/**
 * A run, as `run.yaml` says it: the one description of what there is, from which flags, types and the published JSON Schema come. `data: chat.jsonl`,
 * `task: tokenClassifier`, `method: lora`, `optimizer: lion` and `schedule: linear` are short for objects with `train` or `name`, see `expanded`.
 */
export const runSchema: z.ZodType<RunConfig> = z
  .strictObject({
    model: z
      .string()
      .optional()
      .describe(
        'folder of a model in Hugging Face layout, a GGUF file, either on the hub: hub:owner/name@revision, or an installed @peftjs/base-encoder, @peftjs/base-seq2seq or @peftjs/base-vit; default: the small one that is shipped',
      ),
    dtype: z.enum(['f32', 'f16']).default('f32').describe('precision in which floats of the base are kept'),
    quantize: z
      .enum(['int8', 'int4', 'nf4', 'fp4', 'fp8', 'hqq'])
      .optional()
      .describe('packs the base first, as QLoRA does'),
    compute: z
      .enum(['int8'])
      .optional()
      .describe(
        "int8: products by the base are of whole numbers, twice as fast where a processor has VNNI; floats are packed in 8 bits for it, and inputs that stand out in the first examples stay floats; default: as the base's numbers are",
      ),
    device: z.enum(['cpu', 'webgpu']).optional().describe('default: a hardware GPU if there is one, else the CPU'),
    threads: count.optional().describe('threads of the CPU; default: as many as there are cores'),
    data,
    task: task.default({ name: 'causalLM' }).describe('what the model is to do'),
    objective: objective.optional().describe("a loss in place of the task's own"),
    method: methodSchema.default({ name: 'lora' }).describe('the method and its options'),
    optimizer: optimizer.default({ name: 'adamw', clip: 1 }),
    schedule: schedule.default({ name: 'cosine', warmup: 0.06 }),
    steps: count.optional().describe('optimiser steps; default: as many as the epochs take'),
    epochs: positive.optional().describe('how often each example is seen; default 3'),
    batchSize: count.default(8).describe('examples of a micro-batch'),
    accumulate: count.default(1).describe('micro-batches of a step'),
    recompute: z
      .union([z.boolean(), count], { error: 'must be true, false or a number of blocks' })
      .default(false)
      .describe('gradient checkpointing, of all blocks or of so many from the first on: less memory, more time'),
    evaluateEvery: count
      .optional()
      .describe('steps between two measurements of the held-out loss; default: an eighth of the run'),
    checkpointEvery: count.optional().describe('steps between two checkpoints; default: a twentieth of the run'),
    logs: z
      .array(z.enum(logNames))
      .default([])
      .describe(
        'where the numbers go beside the run: files of events in its folder, the server of MLFLOW_TRACKING_URI, the account of WANDB_API_KEY',
      ),
    seed: z.int().min(0).default(0),
    out: z.string().default('runs').describe('folder in which each run makes one of its own'),
  })
  .refine(({ steps, epochs }) => steps === undefined || epochs === undefined, {
    error: 'steps and epochs both say how long the run is; leave one of them out',
    path: ['epochs'],
  });

const isText = (value: unknown): value is string => typeof value === 'string';

/** A run as it was written, with what is short written out. Anything else is left as it is, for the schema to judge. */
export const expanded = (raw: unknown): unknown => {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return raw;
  const all: Record<string, unknown> = { ...raw };
  if (isText(all['data']) || Array.isArray(all['data'])) all['data'] = { train: all['data'] };
  if (isText(all['logs'])) all['logs'] = [all['logs']];
  const files = all['data'] as Readonly<Record<string, unknown>> | undefined;
  if (isText(files?.['train'])) all['data'] = { ...files, train: [files['train']] };
  for (const [name, fallback] of [
    ['task', 'causalLM'],
    ['objective', ''],
    ['method', 'lora'],
    ['optimizer', 'adamw'],
    ['schedule', 'cosine'],
  ] as const) {
    const value = all[name];
    if (isText(value)) all[name] = { name: value };
    else if (fallback !== '' && typeof value === 'object' && value !== null && !('name' in value))
      all[name] = { name: fallback, ...value };
  }
  return all;
};
