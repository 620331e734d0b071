import type { ModelConfig } from '@peftjs/io';
import { evaluate, type Executor, isVariable, PeftError, type Tensor } from '@peftjs/tensor';
import { familyOf } from './architectures.ts';
import type { CausalLM } from './causal-lm.ts';
import { weightTensors } from './parameters.ts';

/** How a model is written. */
export interface SaveModelOptions {
  /** How values are stored. Default `f32`; the others round to nearest even. */
  readonly dtype?: 'f32' | 'f16' | 'bf16';
}

const fileDTypes = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

const valueOf = async (t: Tensor, executor: Executor): Promise<Float32Array> =>
  (isVariable(t) ? await executor.read(t) : (await evaluate({ value: t }, executor))['value']) as Float32Array;

const checkPlain = (model: CausalLM, config: ModelConfig, tensors: ReadonlyMap<string, Tensor>): void => {
  const wrapped = Object.entries(model.around).filter(([, table]) => table.size > 0);
  if (wrapped.length > 0)
    throw new PeftError('not-mergeable', `saveModel: weights cannot say what is wrapped around ${wrapped.map(([site]) => site).join(', ')}; save the adapter instead`);
  const needs = familyOf(config).needs(config);
  const odd = [...tensors.keys()].filter((name) => !needs.has(name));
  if (odd.length > 0) throw new PeftError('not-mergeable', `saveModel: the layout of ${config.modelType} has no ${odd.join(', ')}; save the adapter instead`);
};

/**
 * Writes a model as Hugging Face does: `model.safetensors` and `config.json`, which `loadModel` and transformers read. Adapted and
 * quantised layers are written as their effective values. The folder appears whole or not at all.
 * Throws `not-mergeable` where weights cannot say what the model does; `bad-option` for values too large for f16; `write-failed`.
 */
export const saveModel = async (dir: string, model: CausalLM, executor: Executor, { dtype = 'f32' }: SaveModelOptions = {}): Promise<void> => {
  const tensors = weightTensors(model);
  const config = { ...model.config, tieWordEmbeddings: !tensors.has('lm_head.weight') };
  checkPlain(model, config, tensors);
  const { encodeSafetensors, writeDirAtomic } = await import('@peftjs/io');
  const entries = [...tensors].map(([name, t]) => [name, { dtype: fileDTypes[dtype], shape: t.shape, data: () => valueOf(t, executor) }] as const);
  const json = { ...familyOf(config).configJson(config), torch_dtype: { f32: 'float32', f16: 'float16', bf16: 'bfloat16' }[dtype] };
  await writeDirAtomic(
    dir,
    new Map([
      ['model.safetensors', encodeSafetensors(dir, new Map(entries))],
      ['config.json', `${JSON.stringify(json, null, 2)}\n`],
    ] as const),
  );
};
