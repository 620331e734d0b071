import * as adapters from '@peftjs/adapters';
import type { MethodFormat } from '@peftjs/core';
import * as hybrid from '@peftjs/hybrid';
import * as lora from '@peftjs/lora';
import * as multitask from '@peftjs/multitask';
import * as prompts from '@peftjs/prompts';
import * as scaling from '@peftjs/scaling';
import * as selective from '@peftjs/selective';
import * as vision from '@peftjs/vision';
import type { Entry } from './table.ts';

/** The families that methods come from, by package, in the order of the table. */
const families: Readonly<Record<string, object>> = {
  lora,
  adapters,
  prompts,
  scaling,
  selective,
  vision,
  hybrid,
  multitask,
};

/** What the families are called. */
export const titles: Readonly<Record<keyof typeof families, string>> = {
  lora: 'reparameterized: LoRA and its kin',
  adapters: 'additive: adapters',
  prompts: 'additive: soft prompts',
  scaling: 'additive: scale and shift',
  selective: 'selective',
  vision: 'vision',
  hybrid: 'hybrid',
  multitask: 'multi-task',
};

const isMethod = (value: unknown): value is MethodFormat =>
  typeof value === 'function' && 'paper' in value && 'peftType' in value;

/** The options that a factory names; of a recipe, its parts. */
const optionsOf = (factory: object): string[] => Object.keys('options' in factory ? (factory.options as object) : {});

/** What is known of every method, and its package. Their order within a family is that of their letters, capitals first. */
export const records: readonly Entry[] = Object.entries(families).flatMap(([family, exports]) =>
  Object.values(exports)
    .filter(isMethod)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((factory) => {
      const { name, about, peftType, paper, merges, learningRate, narrowRate } = factory;
      const rates = { learningRate, ...(narrowRate !== undefined && { narrowRate }) };
      return { name, about, peftType, paper, merges, ...rates, family, options: optionsOf(factory) };
    }),
);
