export { type PTuningOptions, pTuning } from './p-tuning.ts';
export { type PrefixTuningOptions, prefixTuning } from './prefix-tuning.ts';
export { type PrefixTuningHubOptions, prefixTuningHub } from './prefix-tuning-hub.ts';
export { type PromptTuningOptions, promptTuning } from './prompt-tuning.ts';
export type { RowInit, TextInit } from './vocabulary.ts';
