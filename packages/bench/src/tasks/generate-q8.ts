import { generateSmall } from './generate-small.ts';
import type { GenerateTask } from './task.ts';

/** The same over weights in llama.cpp's blocks of 8 bits: a GGUF file, and for stacks that read none the values that it holds. */
export const generateQ8: GenerateTask = {
  ...generateSmall,
  name: 'generate-q8',
  about: 'generation of 64 tokens over Q8_0 weights, d 256, 4 layers',
  storage: 'Q8_0',
};
