import * as adapters from '@peftjs/adapters';
import type { Method, MethodFormat, Option } from '@peftjs/core';
import * as hybrid from '@peftjs/hybrid';
import * as lora from '@peftjs/lora';
import * as multitask from '@peftjs/multitask';
import * as prompts from '@peftjs/prompts';
import * as scaling from '@peftjs/scaling';
import * as selective from '@peftjs/selective';
import * as vision from '@peftjs/vision';

/** A method's factory, as every family exports them. */
export type Factory = ((options?: object) => Method) &
  MethodFormat & { readonly options?: Readonly<Record<string, Option<unknown>>> };

const families = [lora, adapters, prompts, scaling, selective, vision, hybrid, multitask] as const;

const isFactory = (value: unknown): value is Factory =>
  typeof value === 'function' && 'peftType' in value && 'paper' in value;

/** All methods of all families by name: whatever a family exports is here. */
export const methods: ReadonlyMap<string, Factory> = new Map(
  families
    .flatMap((family) => Object.values(family))
    .filter(isFactory)
    .map((factory) => [factory.name, factory]),
);
