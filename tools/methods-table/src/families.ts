import * as adapters from '@peftjs/adapters';
import type { MethodFormat } from '@peftjs/core';
import * as hybrid from '@peftjs/hybrid';
import * as lora from '@peftjs/lora';
import * as multitask from '@peftjs/multitask';
import * as prompts from '@peftjs/prompts';
import * as scaling from '@peftjs/scaling';
import * as selective from '@peftjs/selective';

/** The families that methods come from, by package, in the order of the table. */
const families: Readonly<Record<string, object>> = {
  lora,
  adapters,
  prompts,
  scaling,
  selective,
  hybrid,
  multitask,
};

const isMethod = (value: unknown): value is MethodFormat =>
  typeof value === 'function' && 'paper' in value && 'peftType' in value;

/** What is known of every method, and its package. */
export const records: readonly (MethodFormat & { readonly family: string })[] = Object.entries(families).flatMap(
  ([family, exports]) =>
    Object.values(exports)
      .filter(isMethod)
      .map(({ name, peftType, paper, merges, learningRate, reads, fromConfig }) => ({
        name,
        peftType,
        paper,
        merges,
        learningRate,
        reads,
        fromConfig,
        family,
      })),
);
