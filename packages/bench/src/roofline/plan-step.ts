import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { nf4, quantize } from '@peftjs/quant';
import type { Executor, Plan } from '@peftjs/tensor';
import { adamw, chain, clip, makeTrainStep, type Trainable } from '@peftjs/trainer';
import { buildModel, type ModelConfig, type WeightSource } from '@peftjs/transformer';
import { planProgram } from '@peftjs/webgpu';
import { variantOf } from '../stacks/ours/variants.ts';

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

const refuse = (): never => {
  throw new Error('nothing runs on paper');
};

/** An executor that only plans. */
const onPaper = (plans: Plan[]): Executor => ({
  name: 'webgpu',
  description: 'a GPU that is not there',
  compile: async (program) => {
    const plan = await planProgram(program);
    plans.push(plan);
    return { plan, run: refuse, kept: refuse, close: () => {} };
  },
  read: refuse,
  write: refuse,
  release: () => {},
  memory: refuse,
  close: async () => {},
});

/** The plan of the trainer's step, with AdamW and clipping, on a GPU that is not there. */
export const planTraining = async (target: Trainable, batch: number, tokens: number): Promise<Plan> => {
  const plans: Plan[] = [];
  const shape = { shape: [batch, tokens], dtype: 'i32' } as const;
  await makeTrainStep(target, {
    executor: onPaper(plans),
    optimizer: chain(clip(1), adamw()),
    inputs: { ids: shape, labels: shape },
  });
  return plans[0]!;
};

/** That of LoRA on all linear layers. */
export const planStep = (config: ModelConfig, shape: StepShape): Promise<Plan> => {
  const { batch, tokens, rank, isQuantized, isCheckpointed: recompute } = shape;
  const model = buildModel(config, declared);
  const base = isQuantized ? quantize(model, nf4()) : model;
  const target = attach(base, [lora({ rank, target: 'all-linear' })]);
  return planTraining(variantOf(target, { recompute }), batch, tokens);
};
