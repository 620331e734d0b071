export { type AdapterFusionOptions, adapterFusion } from './adapter-fusion.ts';
export type { FusedAdapter, FusedAdapters } from './fused-adapters.ts';
