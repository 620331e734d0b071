export { buildModel, randomWeights } from './architectures.ts';
export type { CausalLM, ForwardOptions, LossOptions, ModelPatch } from './causal-lm.ts';
export { denseEmbedding, type Embedding } from './embedding.ts';
export { type GenerateOptions, generate } from './generation/generate.ts';
export {
  type GeneratedToken,
  type GeneratorOptions,
  generator,
  type StreamOptions,
  type TextGenerator,
} from './generation/generator.ts';
export type { Prompt } from './generation/prompts.ts';
export { type SampleOptions, sampleToken } from './generation/sample.ts';
export { gpt2 } from './gpt2/gpt2.ts';
export { keyValueHeads } from './key-value-heads.ts';
export type { KvCache } from './kv-cache.ts';
export { affine, type Dense, denseLinear, isDenseLinear, type Linear, viaDense } from './linear.ts';
export { llama } from './llama/llama.ts';
export { loadModel } from './load-model.ts';
export { layerNormLayer, type Norm, type NormValues, rmsNormLayer } from './norm.ts';
export { parameters } from './parameters.ts';
export { type SaveModelOptions, saveModel } from './save-model.ts';
export {
  type Around,
  type AroundTable,
  type KeyValue,
  type Pass,
  type Path,
  runAround,
  type SiteContext,
  type SiteCore,
  type SiteName,
  type Sites,
} from './sites.ts';
export { covers, nameMatches, select, type Target } from './target.ts';
export type { WeightSource } from './weights.ts';
