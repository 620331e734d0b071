import type { ModelFormat } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Model, Path, TaskModel } from '@peftjs/transformer';
import { type AwqOptions, quantizeByAwq } from './awq/quantize-by-awq.ts';
import type { QuantFormat } from './format.ts';
import { type GptqOptions, quantizeByGptq } from './gptq/quantize-by-gptq.ts';
import { type LlmInt8Options, quantizeByLlmInt8 } from './llm-int8/quantize-by-llm-int8.ts';

/** Options without those that a merge has itself. */
type Own<T> = Omit<T, 'executor' | 'target'>;

type QuantizeBy = (model: TaskModel, target: readonly Path[], executor: AwqOptions['executor']) => Promise<TaskModel>;

const modelFormat = (name: string, quantizeBy: QuantizeBy): ModelFormat => ({
  store: async <M extends Model>(model: M, paths: readonly Path[], { executor }: Pick<AwqOptions, 'executor'>) => {
    if (!('loss' in model))
      throw new PeftError('bad-option', `${name}: data go through a model with a task; load the model with one`);
    return (await quantizeBy(model as unknown as TaskModel, paths, executor)) as unknown as M;
  },
});

/** GPTQ as a format that `merge` takes: `merge(adapted, { executor, format: inGptq({ data, bits: 3 }) })` fits the changed layers to what the merged model makes of the data, as `quantizeByGptq` does. */
export const inGptq = (options: Own<GptqOptions>): ModelFormat =>
  modelFormat('inGptq', (model, target, executor) =>
    quantizeByGptq(model, { ...options, executor, target: [...target] }),
  );

/** AWQ as a format that `merge` takes: changed layers in `format`, their columns scaled by what inputs the merged model makes of the data, as `quantizeByAwq` does. */
export const inAwq = (format: QuantFormat, options: Own<AwqOptions>): ModelFormat =>
  modelFormat('inAwq', (model, target, executor) =>
    quantizeByAwq(model, format, { ...options, executor, target: [...target] }),
  );

/** LLM.int8() as a format that `merge` takes: changed layers in int8, inputs that stand out in the merged model kept as floats, as `quantizeByLlmInt8` does. */
export const inLlmInt8 = (options: Own<LlmInt8Options>): ModelFormat =>
  modelFormat('inLlmInt8', (model, target, executor) =>
    quantizeByLlmInt8(model, { ...options, executor, target: [...target] }),
  );
