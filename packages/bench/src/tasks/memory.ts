import { loraLarge } from './lora-large.ts';
import type { StepTask } from './task.ts';

const base: StepTask = { ...loraLarge, name: 'memory-baseline', about: 'baseline', tokens: 512, documents: 'padded' };

/** The d 576 model at 512 tokens: what each device is worth, one after the other. */
export const memory: readonly StepTask[] = [
  { ...base, variant: { wholeHead: true, scores: true } },
  { ...base, name: 'memory-head', about: '+ head and loss in chunks', variant: { scores: true } },
  { ...base, name: 'memory-attention', about: '+ attention without scores' },
  { ...base, name: 'memory-checkpoint', about: '+ checkpointing', variant: { recompute: true } },
  { ...base, name: 'memory-nf4', about: '+ base in NF4', method: 'qlora', variant: { recompute: true } },
  {
    ...base,
    name: 'memory-packing',
    about: '+ packing',
    method: 'qlora',
    documents: 'packed',
    variant: { recompute: true },
  },
];
