import * as adapters from '@peftjs/adapters';
import type { MethodFormat } from '@peftjs/core';
import * as hybrid from '@peftjs/hybrid';
import * as lora from '@peftjs/lora';
import * as multitask from '@peftjs/multitask';
import * as prompts from '@peftjs/prompts';
import * as scaling from '@peftjs/scaling';
import * as selective from '@peftjs/selective';
import * as vision from '@peftjs/vision';

const isFormat = (value: unknown): value is MethodFormat => typeof value === 'function' && 'fromConfig' in value;

/** Every method of these packages, as `load` takes them. */
export const allMethods = (): readonly MethodFormat[] =>
  [lora, prompts, scaling, selective, adapters, vision, multitask, hybrid].flatMap((family) =>
    Object.values(family as Readonly<Record<string, unknown>>).filter(isFormat),
  );
