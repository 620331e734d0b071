import { type Adapted, attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { type Executor, randomSource } from '@peftjs/tensor';
import { adamw, chain, clip, makeBatch, makeTrainStep } from '@peftjs/trainer';
import type { CausalLM } from '@peftjs/transformer';

const [rows, context, steps] = [2, 16, 8];

/** Rows of random tokens: there is nothing to learn but the rows themselves, and that moves every tensor. */
const randomRows = (vocabSize: number): Int32Array[] => {
  const random = randomSource(0, 'tiny adapter');
  return Array.from({ length: rows }, () =>
    Int32Array.from({ length: context + 1 }, () => Math.floor(random() * vocabSize)),
  );
};

/** Trains a LoRA with every option that has a field in `adapter_config.json`, a few steps, always the same way. */
export const trainTinyAdapter = async (base: CausalLM, executor: Executor): Promise<Adapted> => {
  const adapted = attach(base, [
    lora({
      target: 'all-linear',
      rank: 3,
      alpha: 12,
      dropout: 0.1,
      rsLora: true,
      rankPattern: { 'layers.1.self_attn.q_proj': 2, down_proj: 1 },
      alphaPattern: { 'layers.0.self_attn.v_proj': 5 },
    }),
  ]);
  const step = await makeTrainStep(adapted, {
    executor,
    optimizer: chain(clip(1), adamw()),
  });
  const batch = makeBatch(randomRows(base.config.vocabSize), rows, context);
  for (let i = 0; i < steps; i++) await step.run(i, 0.02, [batch]);
  step.close();
  return adapted;
};
