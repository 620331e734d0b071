import { small } from './shapes.ts';
import type { StepTask } from './task.ts';

/** LoRA of rank 8 on q and v of the small decoder, 4 x 128 tokens. */
export const loraSmall: StepTask = {
  kind: 'step',
  name: 'lora-small',
  about: 'LoRA step, d 256, 4 layers, batch 4 x 128',
  model: small,
  batch: 4,
  tokens: 128,
  method: 'lora',
  rank: 8,
  alpha: 16,
  learningRate: 1e-2,
};
