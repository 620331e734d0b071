import { bloom } from './bloom.ts';
import { cohere } from './cohere.ts';
import { cohere2 } from './cohere2.ts';
import { falcon } from './falcon.ts';
import type { Family } from './family.ts';
import { gemma } from './gemma.ts';
import { gemma2 } from './gemma2.ts';
import { gemma3 } from './gemma3.ts';
import { gptNeox } from './gpt-neox.ts';
import { gptOss } from './gpt-oss.ts';
import { gpt2 } from './gpt2/gpt2.ts';
import { gptj } from './gptj.ts';
import { granite } from './granite.ts';
import { llama } from './llama.ts';
import { mistral } from './mistral.ts';
import { mixtral } from './mixtral.ts';
import { olmo2 } from './olmo2.ts';
import { olmo3 } from './olmo3.ts';
import { opt } from './opt.ts';
import { phi } from './phi.ts';
import { phi3 } from './phi3.ts';
import { qwen2 } from './qwen2.ts';
import { qwen2Moe } from './qwen2-moe.ts';
import { qwen3 } from './qwen3.ts';
import { qwen3Moe } from './qwen3-moe.ts';
import { smollm3 } from './smollm3.ts';
import { stablelm } from './stablelm.ts';
import { starcoder2 } from './starcoder2.ts';

/** All decoders. */
export const decoders: readonly Family[] = [
  llama,
  qwen2,
  qwen3,
  mistral,
  mixtral,
  qwen2Moe,
  qwen3Moe,
  gptOss,
  gemma,
  gemma2,
  gemma3,
  smollm3,
  olmo2,
  olmo3,
  granite,
  phi3,
  stablelm,
  starcoder2,
  cohere,
  cohere2,
  phi,
  gptNeox,
  gptj,
  opt,
  bloom,
  falcon,
  gpt2,
] as unknown as readonly Family[];
