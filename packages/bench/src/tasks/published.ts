import { loraLarge } from './lora-large.ts';
import type { ModelShape, StepTask } from './task.ts';

/** https://huggingface.co/HuggingFaceTB/SmolLM2-135M: 134.5 million weights. */
const smollm2: ModelShape = {
  tied: true,
  hidden: 576,
  layers: 30,
  heads: 9,
  keyValueHeads: 3,
  inner: 1536,
  vocabulary: 49152,
};

/** https://huggingface.co/Qwen/Qwen2.5-0.5B: 494 million weights. */
const qwen: ModelShape = {
  biased: true,
  tied: true,
  hidden: 896,
  layers: 24,
  heads: 14,
  keyValueHeads: 2,
  inner: 4864,
  vocabulary: 151936,
};

const step = (name: string, model: ModelShape, batch: number, tokens: number, more: Partial<StepTask>): StepTask => ({
  ...loraLarge,
  name,
  about: `${more.method === 'qlora' ? 'QLoRA step (NF4)' : 'LoRA step'}, batch ${batch} x ${tokens}`,
  model,
  batch,
  tokens,
  learningRate: 1e-3,
  ...more,
});

const weights = 'SmolLM2-135M';

const everyLayer = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

/** LoRA of rank 8 on q and v of a published model, with its weights; and how little memory the larger rank on all layers needs. */
export const smollm2Steps: readonly StepTask[] = [
  step('smollm2-1x256', smollm2, 1, 256, { weights }),
  step('smollm2-4x512', smollm2, 4, 512, { weights }),
  step('smollm2-nf4-1x256', smollm2, 1, 256, { weights, method: 'qlora' }),
  {
    ...step('smollm2-f16-1x64', smollm2, 1, 64, { weights, rank: 32, alpha: 64, layers: everyLayer, inHalf: true }),
    about: 'LoRA of rank 32 on all layers, weights held in f16, batch 1 x 64',
  },
];

/** The same of a larger one's shape, with random weights. */
export const qwenSteps: readonly StepTask[] = [
  step('qwen-0.5b-1x256', qwen, 1, 256, {}),
  step('qwen-0.5b-nf4-1x256', qwen, 1, 256, { method: 'qlora' }),
];
