import { loraLarge } from './lora-large.ts';
import type { StepTask } from './task.ts';

/** The same over a base in NF4 with double quantisation, the head excepted. */
export const qloraLarge: StepTask = {
  ...loraLarge,
  name: 'qlora-large',
  about: 'QLoRA step (NF4), d 576, 6 layers, batch 2 x 256',
  method: 'qlora',
};
