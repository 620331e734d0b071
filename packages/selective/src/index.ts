export { type BeftOptions, beft } from './beft.ts';
export { type BitfitOptions, bitfit } from './bitfit.ts';
export { type FishMaskOptions, fishMask, type Mask } from './fish-mask/fish-mask.ts';
export { type LayerNormTuningOptions, layerNormTuning } from './layer-norm-tuning.ts';
export { type TokenTuningOptions, tokenTuning } from './token-tuning.ts';
