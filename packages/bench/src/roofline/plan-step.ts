import { grad } from '@peftjs/autograd';
import { attach } from '@peftjs/core';
import type { ModelConfig } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { nf4, quantize } from '@peftjs/quant';
import { buildProgram, input, type Plan, planProgram } from '@peftjs/tensor';
import { adamw } from '@peftjs/trainer';
import { buildModel, type WeightSource } from '@peftjs/transformer';

/** How a step is made. */
export interface StepShape {
  readonly batch: number;
  readonly tokens: number;
  readonly rank: number;
  /** Whether the base is in NF4 with double quantisation, embedding and head excepted. */
  readonly isQuantized: boolean;
  /** Whether each block is recomputed in the backward pass. */
  readonly isCheckpointed: boolean;
}

/** Weights that are only declared: a plan asks for no values. */
const declared: WeightSource = {
  has: () => true,
  load: (name) => () => {
    throw new Error(`${name} was only declared`);
  },
};

/** The plan of a LoRA step on all linear layers with AdamW, on a GPU that is not there. */
export const planStep = (config: ModelConfig, shape: StepShape): Promise<Plan> => {
  const { batch, tokens, rank, isQuantized, isCheckpointed: checkpoint } = shape;
  const model = buildModel(config, declared);
  const base = isQuantized ? quantize(model, nf4()) : model;
  const target = attach(base, [lora({ rank, target: 'all-linear' })]);
  const [ids, labels] = [input('ids', [batch, tokens], 'i32'), input('labels', [batch, tokens], 'i32')];
  const loss = target.training(input('seed', [], 'u32')).loss(ids, labels, { checkpoint });
  const params = [...target.params.values()];
  const { updates, gradNorm } = adamw().step(params, grad(loss, params), input('hyper', [7]));
  return planProgram(buildProgram({ outputs: { loss, gradNorm }, updates }));
};
