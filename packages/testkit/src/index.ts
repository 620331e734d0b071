export { differenceOf, mustBeNear, type NearOptions, tolerances } from '@peftjs/tensor/testing';
export { distance, shake, tinyConfig, tinyGpt2, tinyGpt2Config, tinyLlama, tokens } from '@peftjs/transformer/testing';
export { architectures } from './bases.ts';
export type { Law } from './law.ts';
export { describeMethod, describeMethods, type MethodRows } from './method/describe-method.ts';
export { methodLaws } from './method/laws.ts';
export type { MethodCase, MethodRow } from './method/row.ts';
