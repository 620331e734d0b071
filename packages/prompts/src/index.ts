export { type APromptOptions, aPrompt } from './a-prompt.ts';
export { type AdapterHubPrefixTuningOptions, adapterHubPrefixTuning } from './adapter-hub-prefix-tuning.ts';
export { type AdaptionPromptOptions, adaptionPrompt } from './adaption-prompt.ts';
export { type AptOptions, apt } from './apt.ts';
export { type CartridgeOptions, cartridge } from './cartridge.ts';
export { type CptOptions, cpt } from './cpt.ts';
export { type DePtOptions, dePt } from './dept.ts';
export type { TensorsOf } from './encoder.ts';
export { type IdpgOptions, idpg } from './idpg.ts';
export { type InfoPromptOptions, infoPrompt } from './info-prompt.ts';
export { type IptOptions, ipt } from './ipt.ts';
export { type LlamaAdapterOptions, llamaAdapter } from './llama-adapter.ts';
export { type LptOptions, lpt } from './lpt.ts';
export { maxOfTokens, meanOfTokens } from './over-tokens.ts';
export { type PTuningOptions, pTuning } from './p-tuning.ts';
export { type PrefixTuningOptions, prefixTuning } from './prefix-tuning.ts';
export { type PromptSpaceSizes, promptSpace } from './prompt-space.ts';
export { type PromptTuningOptions, promptTuning } from './prompt-tuning.ts';
export { type SelectivePromptTuningOptions, selectivePromptTuning } from './selective-prompt-tuning.ts';
export { type SmopOptions, smop } from './smop.ts';
export {
  promptComputes,
  promptConfig,
  type RowCount,
  type RowsOfPass,
  rowsInFront,
  submodulesOption,
} from './soft-prompt.ts';
export {
  isPromptSnapshot,
  isTrainedPrompt,
  type PromptSnapshot,
  type TrainedPrompt,
  trainedRows,
} from './trained-prompt.ts';
export { initOf, isTextInit, type RowInit, rowInit, type TextInit } from './vocabulary.ts';
export { type XPromptOptions, xPrompt } from './x-prompt.ts';
