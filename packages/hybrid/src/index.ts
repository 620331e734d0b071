export { type AutoLoraOptions, type AutoLoraResult, autoLora } from './auto-lora/auto-lora.ts';
export { type AutoPeftPoint, autoPeft, autoPeftSpace } from './auto-peft.ts';
export { type GatedOptions, gated } from './gated/gated.ts';
export { type NoahOptions, noah } from './noah/noah.ts';
export { type NoahPoint, noahSizes, noahSpace, noahValues, subnetOf, useSizes } from './noah/noah-search.ts';
export { type NoahSupernetOptions, noahSupernet } from './noah/noah-supernet.ts';
export type { NoahSizes } from './noah/sizes.ts';
export { type ProPetlAdapterOptions, proPetlAdapter } from './pro-petl/pro-petl-adapter.ts';
export { type ProPetlLoraOptions, proPetlLora } from './pro-petl/pro-petl-lora.ts';
export { type MamOptions, mam, type UnipeltOptions, unipelt } from './recipes.ts';
export { type CandidateParts, s3DeltaCandidates } from './s3-delta/candidates.ts';
export { type RankedCandidate, type S3DeltaOptions, type S3DeltaResult, s3Delta } from './s3-delta/s3-delta.ts';
export { type S4Options, s4 } from './s4.ts';
export { type BayesianOptions, bayesian } from './search/bayesian.ts';
export { type EvolvingOptions, evolving } from './search/evolving.ts';
export { type HalvingOptions, halving } from './search/halving.ts';
export { randomly } from './search/randomly.ts';
export { trialsFigure, trialsTable } from './search/report.ts';
export { type SearchOptions, type SearchResult, search } from './search/search.ts';
export type { Choice, SearchPlace, SearchPoint, SearchSpace } from './search/space.ts';
export type { SoFar, Strategy, Trial, Tried } from './search/trial.ts';
export {
  type SelectPromptLayersOptions,
  type SelectPromptLayersResult,
  selectPromptLayers,
} from './spt/select-prompt-layers.ts';
