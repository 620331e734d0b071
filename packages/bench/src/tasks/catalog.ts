import { fullSmall } from './full-small.ts';
import { generateQ8 } from './generate-q8.ts';
import { generateSmall } from './generate-small.ts';
import { loraLarge } from './lora-large.ts';
import { loraSmall } from './lora-small.ts';
import { matmuls } from './matmul.ts';
import { memory } from './memory.ts';
import { qwenSteps, smollm2Steps } from './published.ts';
import { qloraLarge } from './qlora-large.ts';
import { scaling } from './scaling.ts';
import { smoke } from './smoke.ts';
import type { Task } from './task.ts';

/** Tasks that are asked for under one name. */
export interface Group {
  readonly name: string;
  readonly about: string;
  readonly tasks: readonly Task[];
  /** Measured only when asked for by name. */
  readonly optional?: boolean;
  /** Of interest for our own stacks alone, and how it is shown. */
  readonly figure?: 'scaling' | 'memory';
}

const alone = (task: Task): Group => ({ name: task.name, about: task.about, tasks: [task] });

/** Everything that can be measured. */
export const groups: readonly Group[] = [
  { name: 'matmul', about: 'matrix products of training, 8 shapes', tasks: matmuls },
  alone(loraSmall),
  alone(loraLarge),
  alone(qloraLarge),
  alone(fullSmall),
  alone(generateSmall),
  alone(generateQ8),
  {
    name: 'smollm2',
    about: 'steps of SmolLM2-135M with its weights, from the folder that --model names',
    tasks: smollm2Steps,
    optional: true,
  },
  { name: 'qwen-0.5b', about: 'steps of the shape of Qwen2.5-0.5B', tasks: qwenSteps, optional: true },
  { name: 'smoke', about: 'all of it on tiny shapes, in seconds', tasks: smoke, optional: true },
  {
    name: 'scaling',
    about: 'LoRA steps of growing sequences, batches and depths',
    tasks: scaling,
    optional: true,
    figure: 'scaling',
  },
  {
    name: 'memory',
    about: 'what each device against memory is worth',
    tasks: memory,
    optional: true,
    figure: 'memory',
  },
];

/** The task that is no race of stacks: every method with its best learning rate. Only when asked for by name. */
export const qualityTask = {
  name: 'quality',
  about: "every method's held-out loss at equal trained parameters, each with its best learning rate",
} as const;

/** The task that asks a server by many clients at once. Only when asked for by name. */
export const serveTask = {
  name: 'serve',
  about: 'peftjs serve under load: speed, memory, errors, answers, kill and restart',
} as const;

/** The task of a corpus on its way to the trainer. Only when asked for by name. */
export const dataTask = {
  name: 'data',
  about: '100 MB of conversations through template, tokenizer and packing: speed, memory, resuming',
} as const;

/** The task of adapters over quantised bases. Only when asked for by name. */
export const quantizedTask = {
  name: 'quantized',
  about: 'LoRA, QLoRA, QA-LoRA and LoftQ over bases of 32 to 2 bits: losses and memory',
} as const;

/** The task of what products in int8 cost. Only when asked for by name. */
export const int8Task = {
  name: 'int8-quality',
  about: 'LoRA over bases that multiply in int8, beside the same in f32: losses and gradients',
} as const;
