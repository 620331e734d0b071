import type { Target } from '../target.ts';
import { adapters } from './adapters.ts';
import { configs } from './configs.ts';
import { heads } from './heads.ts';
import { models } from './models.ts';
import { pyreft } from './pyreft.ts';
import { safetensors } from './safetensors.ts';
import { tokenizers } from './tokenizers.ts';
import { torch } from './torch.ts';

/** All readers that are tried. */
export const targets: readonly Target[] = [safetensors, torch, configs, models, tokenizers, adapters, heads, pyreft];
