import { loraSmall } from './lora-small.ts';
import type { StepTask } from './task.ts';

/** All weights of the small decoder. */
export const fullSmall: StepTask = {
  ...loraSmall,
  name: 'full-small',
  about: 'full fine-tuning step, d 256, 4 layers, batch 4 x 128',
  method: 'full',
  learningRate: 1e-3,
};
