export { adalora } from './adalora/adalora.ts';
export type { AdaloraOptions, KeptTriplets } from './adalora/options.ts';
export { adapterHubGatedLora, adapterHubLora } from './adapter-hub-lora/adapter-hub-lora.ts';
export type { AdapterHubLoraOptions } from './adapter-hub-lora/projections.ts';
export type { ComputedLora } from './algebra/lora-of.ts';
export { type CombinationType, type MergeAdaptersOptions, mergeAdapters } from './algebra/merge-adapters.ts';
export type { MajoritySign } from './algebra/task-vectors.ts';
export { type ToLoraOptions, toLora } from './algebra/to-lora.ts';
