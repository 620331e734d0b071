export { type AdapterFusionOptions, adapterFusion } from './adapter-fusion/adapter-fusion.ts';
export type { FusedAdapter, FusedAdapters } from './adapter-fusion/fused-adapters.ts';
export { type PruneFusionOptions, pruneFusion } from './adapter-fusion/prune-fusion.ts';
export { type AttemptOptions, attempt, attemptFor } from './attempt.ts';
export type { HyperformerOptions } from './hyperformer/define-hyperformer.ts';
export { hyperformer, hyperformerFor, hyperformerPlusPlus, hyperformerPlusPlusFor } from './hyperformer/hyperformer.ts';
export { type IptSpaceOptions, iptSpace, iptSpaceFor } from './ipt-space.ts';
export { type MeraOptions, mera } from './mera/mera.ts';
export { type MoeLoraOptions, moeLora, moeLoraFor } from './moe-lora.ts';
export { type MtLoraOptions, mtLora, mtLoraFor } from './mt-lora.ts';
export { type MtlLoraOptions, mtlLora, mtlLoraFor } from './mtl-lora.ts';
export {
  type MultitaskPromptTuningOptions,
  multitaskPromptTuning,
  multitaskPromptTuningFor,
  type SourcePrompt,
} from './multitask-prompt-tuning.ts';
export { type PhaOptions, pha, phaFor } from './pha/pha.ts';
export { type PolyOptions, poly, polyFor } from './poly.ts';
export { type PromptComparison, promptSimilarity, type RankedPrompt, rankPrompts } from './spot.ts';
export { type PromptProjector, projectedPrompt, type TptOptions, tpt, tptFor } from './tpt.ts';
