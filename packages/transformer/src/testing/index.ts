export { describeLinear } from './describe-linear.ts';
export { type Slopes, slopesOf } from './difference.ts';
export type { Law } from './law.ts';
export { type LinearRow, linearLaws, mustApplyDense } from './linear-laws.ts';
export { noModel } from './no-model.ts';
export { tinyGpt2, tinyGpt2Config } from './tiny-gpt2.ts';
export { tinyConfig, tinyLlama } from './tiny-llama.ts';
export { distance, shake, tokens } from './values.ts';
