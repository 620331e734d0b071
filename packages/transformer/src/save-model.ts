import {
  encodeSafetensors,
  type FileContent,
  filesAt,
  halfToFloat32,
  type Place,
  type WriteTensor,
  writable,
} from '@peftjs/io';
import {
  checkOptions,
  type Executor,
  evaluate,
  isPeftError,
  isVariable,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Rules,
  sizeOf,
  type Tensor,
} from '@peftjs/tensor';
import { type CheckpointWriter, onceFor } from './checkpoint-writer.ts';
import { companionsIn } from './companions.ts';
import { configText } from './config/config-text.ts';
import type { ModelConfig } from './config/model-config.ts';
import { storedTensor } from './families/checkpoint-layout.ts';
import { familyOfModel, headOf, needsOf } from './families/model-with.ts';
import { halfBehind } from './half.ts';
import { weightTensors } from './parameters.ts';
import { requireModel } from './require-model.ts';
import type { Path } from './sites.ts';
import type { TaskModel } from './task-model.ts';

/** The executor that has a model's values, and how they are written. */
export interface SaveModelOptions extends OnExecutor {
  /** How values are stored. Default `f32`; the others round to nearest even. */
  readonly dtype?: 'f32' | 'f16' | 'bf16';
  /** How quantised layers are stored: `gptqFiles()` or `awqFiles()` of `@peftjs/quant`. Default: as their effective values. */
  readonly writer?: CheckpointWriter;
}

const rules: Rules<SaveModelOptions> = {
  ...onExecutor,
  dtype: mustBe.oneOf(['f32', 'f16', 'bf16']),
  writer: mustBe.such('a writer of checkpoints: gptqFiles()', (v) => typeof v === 'function'),
};

const fileDTypes = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

const torchDTypes = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' } as const;

const valueOf = async (t: Tensor, executor: Executor): Promise<Float32Array> => {
  const half = halfBehind(t);
  if (half) return halfToFloat32((await executor.read(half)) as Uint16Array);
  return (
    isVariable(t) ? await executor.read(t) : (await evaluate({ value: t }, { executor }))['value']
  ) as Float32Array;
};

const checkPlain = (
  who: string,
  model: TaskModel<unknown>,
  config: ModelConfig,
  tensors: ReadonlyMap<string, Tensor>,
): void => {
  const wrapped = Object.entries(model.around).filter(([, table]) => table.size > 0);
  if (wrapped.length > 0)
    throw new PeftError(
      'not-mergeable',
      `${who}: weights cannot say what is wrapped around ${wrapped.map(([site]) => site).join(', ')}; save the adapter instead`,
    );
  if (model.layout.repeats)
    throw new PeftError(
      'not-mergeable',
      `${who}: the model repeats layers of its base, which its weights do not tell; save the adapter, and repeat the layers of the base anew`,
    );
  const needs = needsOf(familyOfModel(model), config, model.task);
  const odd = [...tensors.keys()].filter((name) => !needs.has(name));
  if (odd.length > 0)
    throw new PeftError(
      'not-mergeable',
      `${who}: the layout of ${config.modelType} has no ${odd.join(', ')}; save the adapter instead`,
    );
};

/** The names of a classifier's outputs, as transformers has them. */
const labelsJson = (labels: readonly string[] | null): Readonly<Record<string, unknown>> =>
  labels
    ? {
        id2label: Object.fromEntries(labels.map((name, i) => [i, name])),
        label2id: Object.fromEntries(labels.map((name, i) => [name, i])),
      }
    : {};

/** Whether the head is the token table, and not a layer of its own; one without weights that could be told is not. */
const isTied = (model: TaskModel<unknown>): boolean => {
  const { config, task, linears, embeddings } = model;
  if (task.labels !== null) return config.tieWordEmbeddings;
  const head = linears.get(headOf(familyOfModel(model), task).layer);
  if (!head) return config.tieWordEmbeddings;
  const tables = new Set([...embeddings.values()].map(({ weight }) => weight.node));
  try {
    return tables.has(head.dense().weight.node);
  } catch (error) {
    if (isPeftError(error)) return false;
    throw error;
  }
};

/** A tensor of a model: its shape, and its values when they are asked for. */
export interface ModelTensor {
  /** Matrices as [out, in], whatever a family's files have. */
  readonly shape: readonly number[];
  /** Its values in f32; those of adapted and quantised layers are the effective ones. */
  values(): Promise<Float32Array>;
}

/**
 * The tensors of a model by Hugging Face name, as an executor has them, for writers of files; a tied head's weight is left out. `who` is named in errors. Throws
 * `not-mergeable` where weights cannot say what the model does.
 */
export const modelTensors = (
  who: string,
  model: TaskModel<unknown>,
  executor: Executor,
): ReadonlyMap<string, ModelTensor> => {
  const tensors = weightTensors(model);
  checkPlain(who, model, { ...model.config, tieWordEmbeddings: isTied(model) }, tensors);
  return new Map([...tensors].map(([name, t]) => [name, { shape: t.shape, values: () => valueOf(t, executor) }]));
};

/**
 * The content of a model's `config.json` as Hugging Face has it, for values stored in a dtype. Adapters and other things wrapped around the model are
 * not told of.
 */
export const hfConfig = (
  model: TaskModel<unknown>,
  dtype: keyof typeof torchDTypes,
): Readonly<Record<string, unknown>> => {
  const family = familyOfModel(model);
  return {
    architectures: [headOf(family, model.task).modelClass],
    ...family.configJson({ ...model.config, tieWordEmbeddings: isTied(model) }),
    ...labelsJson(model.task.labels),
    torch_dtype: torchDTypes[dtype],
  };
};

/**
 * The files that belong to a model beside its weights and config: the tokenizer, chat template, `generation_config.json` and `preprocessor_config.json` of the folder that it
 * was loaded from; none for one that was built. Throws `read-failed`.
 */
export const companionFiles = async ({ layout }: TaskModel<unknown>): Promise<ReadonlyMap<string, Uint8Array>> =>
  layout.source ? companionsIn(layout.source) : new Map();

/** Throws `bad-option` for matrices of blocks that a quantiser's checkpoint leaves out: its loaders expect them packed. */
const checkPacked = (left: readonly (readonly [string, ModelTensor])[], blocks: readonly Path[]): void => {
  const odd = left
    .filter(([name, { shape }]) => shape.length > 1 && blocks.some((block) => name.startsWith(`${block}.`)))
    .map(([name]) => name);
  if (odd.length > 0)
    throw new PeftError(
      'bad-option',
      `saveModel: the writer holds linear layers alone, and ${odd.join(', ')} would be missing to who loads them packed; save without a writer`,
    );
};

/**
 * Writes a model as Hugging Face does: `model.safetensors` and `config.json`, which `loadModel` and transformers read. The tokenizer, chat template
 * `generation_config.json` and `preprocessor_config.json` of the folder that it was loaded from come along, over what the new one has of them. Adapted and
 * quantised layers are written as their effective values, or quantised ones as a `writer` packs them. One tensor is in memory at a time. The old model stays until the new
 * weights are whole; into a folder on disk, or `Files` that can be written. Throws `not-mergeable` where weights cannot say what the model does; `bad-option` for values too
 * large for f16; `write-failed`.
 */
export const saveModel = async (model: TaskModel<unknown>, dir: Place, options: SaveModelOptions): Promise<void> => {
  requireModel('saveModel', model);
  checkOptions('saveModel', rules, options);
  const { executor, dtype = 'f32', writer } = options;
  const { layout } = familyOfModel(model);
  const blocks = model.paths('block');
  const packed = writer?.(model.linears, blocks);
  const isPacked = new Set(packed?.paths.map((path) => `${path}.weight`));
  const plain = [...modelTensors('saveModel', model, executor)].filter(([name]) => !isPacked.has(name));
  if (packed) checkPacked(plain, blocks);
  const entries = plain.flatMap(([name, t]): [string, WriteTensor][] => {
    const { name: stored, shape, pieces, toFile } = storedTensor(layout, name, t.shape, model.config);
    const values = async (): Promise<Float32Array> => toFile(await t.values());
    if (!pieces) return [[stored, { dtype: fileDTypes[dtype], shape, data: values }]];
    const whole = onceFor(pieces.length, values);
    let end = 0;
    return pieces.map((piece): [string, WriteTensor] => {
      const start = end;
      end += sizeOf(piece.shape);
      const data = async (): Promise<Float32Array> => (await whole()).slice(start, start + sizeOf(piece.shape));
      return [piece.name, { dtype: fileDTypes[dtype], shape: piece.shape, data }];
    });
  });
  const files = writable(await filesAt(dir));
  // The config comes last: a folder without it is no model, so one that was cut short does not look whole.
  await files.write(
    new Map<string, FileContent>([
      ...(await companionFiles(model)),
      [
        'model.safetensors',
        encodeSafetensors(`${files.name}/model.safetensors`, new Map([...entries, ...(packed?.tensors ?? [])])),
      ],
      ['config.json', configText({ ...hfConfig(model, dtype), ...(packed && { quantization_config: packed.config }) })],
    ]),
  );
};
