import type { WriteTensor } from '@peftjs/io';
import { type Executor, evaluate, isVariable, PeftError, type Tensor } from '@peftjs/tensor';
import type { ModelConfig } from './config/model-config.ts';
import { headOf, needsOf } from './families/build.ts';
import { storedTensor } from './families/checkpoint-layout.ts';
import { familyOfConfig } from './families/index.ts';
import { weightTensors } from './parameters.ts';
import type { TaskModel } from './task-model.ts';

/** How a model is written. */
export interface SaveModelOptions {
  /** How values are stored. Default `f32`; the others round to nearest even. */
  readonly dtype?: 'f32' | 'f16' | 'bf16';
}

const fileDTypes = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

const valueOf = async (t: Tensor, executor: Executor): Promise<Float32Array> =>
  (isVariable(t) ? await executor.read(t) : (await evaluate({ value: t }, executor))['value']) as Float32Array;

const checkPlain = (model: TaskModel<unknown>, config: ModelConfig, tensors: ReadonlyMap<string, Tensor>): void => {
  const wrapped = Object.entries(model.around).filter(([, table]) => table.size > 0);
  if (wrapped.length > 0)
    throw new PeftError(
      'not-mergeable',
      `saveModel: weights cannot say what is wrapped around ${wrapped.map(([site]) => site).join(', ')}; save the adapter instead`,
    );
  const needs = needsOf(config, model.task);
  const odd = [...tensors.keys()].filter((name) => !needs.has(name));
  if (odd.length > 0)
    throw new PeftError(
      'not-mergeable',
      `saveModel: the layout of ${config.modelType} has no ${odd.join(', ')}; save the adapter instead`,
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

/** Puts both files in place, `config.json` last: a folder without it is no model, so one that was cut short does not look whole. */
const writeFolder = async (dir: string, tensors: ReadonlyMap<string, WriteTensor>, config: string): Promise<void> => {
  // Loaded when asked for, as in `loadModel`.
  const { writeFileAtomic, writeSafetensors } = await import('@peftjs/io');
  const { mkdir, rename, rm } = process.getBuiltinModule('node:fs/promises');
  const { join } = process.getBuiltinModule('node:path');
  const [mark, weights, staged] = ['config.json', 'model.safetensors', `.model.safetensors.${process.pid}.tmp`].map(
    (name) => join(dir, name),
  ) as [string, string, string];
  let made: string | undefined;
  try {
    made = await mkdir(dir, { recursive: true });
    await writeSafetensors(staged, tensors);
    await rm(mark, { force: true });
    await rename(staged, weights);
    await writeFileAtomic(mark, config);
  } catch (cause) {
    await (made === undefined ? rm(staged, { force: true }) : rm(made, { recursive: true })).catch(() => {});
    if (cause instanceof PeftError) throw cause;
    throw new PeftError(
      'write-failed',
      `saveModel: ${dir} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}. Check the path and the space left.`,
      { cause },
    );
  }
};

/**
 * Writes a model as Hugging Face does: `model.safetensors` and `config.json`, which `loadModel` and transformers read. Adapted and
 * quantised layers are written as their effective values. One tensor is in memory at a time. The old model stays until the new
 * weights are whole on the disk. Throws `not-mergeable` where weights cannot say what the model does; `bad-option` for values too
 * large for f16; `write-failed`.
 */
export const saveModel = async (
  dir: string,
  model: TaskModel<unknown>,
  executor: Executor,
  { dtype = 'f32' }: SaveModelOptions = {},
): Promise<void> => {
  const tensors = weightTensors(model);
  const family = familyOfConfig(model.config);
  const head = headOf(family, model.task);
  const isLanguage = model.task.labels === null;
  const tieWordEmbeddings = isLanguage ? !tensors.has(`${head.layer}.weight`) : model.config.tieWordEmbeddings;
  const config = { ...model.config, tieWordEmbeddings };
  checkPlain(model, config, tensors);
  const { layout, configJson } = family;
  const entries = [...tensors].map(([name, t]): [string, WriteTensor] => {
    const { shape, toFile } = storedTensor(layout, name, t.shape);
    return [name, { dtype: fileDTypes[dtype], shape, data: async () => toFile(await valueOf(t, executor)) }];
  });
  const json = {
    architectures: [head.modelClass],
    ...configJson(config),
    ...labelsJson(model.task.labels),
    torch_dtype: { f32: 'float32', f16: 'float16', bf16: 'bfloat16' }[dtype],
  };
  await writeFolder(dir, new Map(entries), `${JSON.stringify(json, null, 2)}\n`);
};
