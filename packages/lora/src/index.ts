export { adalora } from './adalora/adalora.ts';
export type { AdaloraOptions, KeptTriplets } from './adalora/options.ts';
export { adapterHubGatedLora, adapterHubLora } from './adapter-hub-lora/adapter-hub-lora.ts';
export type { AdapterHubLoraOptions } from './adapter-hub-lora/projections.ts';
export { type AfLoraOptions, afLora } from './aflora/aflora.ts';
export type { ComputedLora } from './algebra/lora-of.ts';
export { type CombinationType, type MergeAdaptersOptions, mergeAdapters } from './algebra/merge-adapters.ts';
export {
  type PrincipalLora,
  type PrincipalLoraOptions,
  type PrincipalStart,
  principalLora,
} from './algebra/principal-lora.ts';
export type { MajoritySign } from './algebra/task-vectors.ts';
export { type ToLoraOptions, toLora } from './algebra/to-lora.ts';
export { type AloraOptions, alora } from './alora.ts';
export { type BdloraOptions, bdlora } from './bdlora.ts';
export { type BoftOptions, boft } from './boft.ts';
export { type C3aInit, type C3aOptions, c3a } from './c3a.ts';
export { type CapaboostOptions, capaboost } from './capaboost.ts';
export { type DeftDecomposition, type DeftOptions, deft } from './deft.ts';
export { type DeloraOptions, delora } from './delora.ts';
export { dora } from './dora.ts';
export { type DyloraOptions, dylora } from './dylora.ts';
export { type FourierFTInit, type FourierFTOptions, fourierft } from './fourierft.ts';
export { type GloraForm, type GloraOptions, glora } from './glora.ts';
export { type GraloraOptions, gralora } from './gralora.ts';
export { type HiraOptions, hira } from './hira.ts';
export { type HraOptions, hra } from './hra.ts';
export { type HydraloraOptions, hydralora } from './hydralora.ts';
export { type KasaOptions, kasa } from './kasa.ts';
export { type KronaOptions, krona } from './krona/krona.ts';
export { type KronaBOptions, kronaB } from './krona/krona-b.ts';
export { loha } from './loha.ts';
export { type LokrOptions, lokr } from './lokr.ts';
export { lora } from './lora.ts';
export type { BiasedLoraOptions } from './lora-bias.ts';
export { type LoraSpOptions, loraSp } from './lora-sp.ts';
export type { LoraOptions } from './low-rank.ts';
export type { LycorisOptions } from './lycoris.ts';
export { type MissOptions, type MissVariant, miss } from './miss.ts';
export { type MosloraOptions, moslora } from './moslora.ts';
export { type OftOptions, oft } from './oft.ts';
export { type PeanutActivation, type PeanutOptions, peanut } from './peanut.ts';
export { type PveraOptions, pvera } from './pvera.ts';
export { type QaloraOptions, qalora } from './qalora.ts';
export { type RandloraOptions, randlora } from './randlora.ts';
export { type RoadOptions, type RoadVariant, road } from './road.ts';
export { type ShiraOptions, shira } from './shira.ts';
export type { KeptRanks } from './sora/prune.ts';
export type { SparsitySchedule } from './sora/schedule.ts';
export { type SoraOptions, sora } from './sora/sora.ts';
export { loraFa } from './steps/lora-fa.ts';
export { type LoraPlusOptions, loraPlus } from './steps/lora-plus.ts';
export { type RiemannianLoraOptions, riemannianLora } from './steps/riemannian-lora.ts';
export { type UniloraOptions, unilora } from './unilora.ts';
export { type VbloraOptions, vblora } from './vblora.ts';
export { type VeloraDirection, type VeloraOptions, velora } from './velora.ts';
export { type VeraOptions, vera } from './vera.ts';
