import { large } from './shapes.ts';
import type { StepTask } from './task.ts';

/** LoRA of rank 8 on q and v of the large decoder, 2 x 256 tokens. */
export const loraLarge: StepTask = {
  kind: 'step',
  name: 'lora-large',
  about: 'LoRA step, d 576, 6 layers, batch 2 x 256',
  model: large,
  batch: 2,
  tokens: 256,
  method: 'lora',
  rank: 8,
  alpha: 16,
  learningRate: 1e-2,
};
