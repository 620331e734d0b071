export { type AdapterHubPrefixTuningOptions, adapterHubPrefixTuning } from './adapter-hub-prefix-tuning.ts';
export { type AdaptionPromptOptions, adaptionPrompt } from './adaption-prompt.ts';
export { type CartridgeOptions, cartridge } from './cartridge.ts';
export { type CptOptions, cpt } from './cpt.ts';
export { type LlamaAdapterOptions, llamaAdapter } from './llama-adapter.ts';
export { type PTuningOptions, pTuning } from './p-tuning.ts';
export { type PrefixTuningOptions, prefixTuning } from './prefix-tuning.ts';
export { type PromptTuningOptions, promptTuning } from './prompt-tuning.ts';
export {
  promptComputes,
  promptConfig,
  type RowCount,
  type RowsOfPass,
  rowsInFront,
  submodulesOption,
} from './soft-prompt.ts';
export { initOf, isTextInit, type RowInit, type TextInit } from './vocabulary.ts';
