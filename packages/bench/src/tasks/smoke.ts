import { fullSmall } from './full-small.ts';
import { generateQ8 } from './generate-q8.ts';
import { generateSmall } from './generate-small.ts';
import { loraSmall } from './lora-small.ts';
import type { ModelShape, Task } from './task.ts';

const tiny: ModelShape = { hidden: 64, layers: 2, heads: 4, keyValueHeads: 2, inner: 128, vocabulary: 64 };
const sizes = { model: tiny, batch: 2, tokens: 12 };

/** The same on tiny shapes: whether the stacks agree shows in seconds. */
export const smoke: readonly Task[] = [
  {
    kind: 'matmul',
    name: 'smoke-matmul',
    about: 'a tiny product',
    m: 8,
    k: 16,
    n: 12,
    transposeA: true,
    transposeB: true,
  },
  { ...loraSmall, ...sizes, name: 'smoke-lora', about: 'a tiny LoRA step' },
  { ...loraSmall, ...sizes, name: 'smoke-qlora', about: 'a tiny QLoRA step', method: 'qlora' },
  {
    ...loraSmall,
    ...sizes,
    name: 'smoke-variant',
    about: 'a tiny LoRA step with logits and scores in memory',
    documents: 'padded',
    variant: { wholeHead: true, scores: true },
  },
  { ...fullSmall, ...sizes, name: 'smoke-full', about: 'a tiny full fine-tuning step' },
  { ...generateSmall, model: tiny, name: 'smoke-generate', about: 'a tiny continuation', prompt: 5, tokens: 12 },
  { ...generateQ8, model: tiny, name: 'smoke-q8', about: 'the same over Q8_0 weights', prompt: 5, tokens: 12 },
];
