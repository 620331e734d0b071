import { small } from './shapes.ts';
import type { GenerateTask } from './task.ts';

/** 64 tokens after a prompt of 16, the likeliest each time. */
export const generateSmall: GenerateTask = {
  kind: 'generate',
  name: 'generate-small',
  about: 'generation of 64 tokens, d 256, 4 layers',
  model: small,
  prompt: 16,
  tokens: 64,
};
