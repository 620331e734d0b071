export { activationNames } from './activation.ts';
export type { CheckpointReader, FindExperts, FindLayer, StoredExperts, StoredLayer } from './checkpoint-reader.ts';
export { type CheckpointWriter, onceFor, type WrittenLayers } from './checkpoint-writer.ts';
export { configText } from './config/config-text.ts';
export type { GenerationConfig } from './config/generation.ts';
export { type LoadConfigOptions, loadConfig, loadGenerationConfig, parseConfig } from './config/load.ts';
export type { ModelConfig } from './config/model-config.ts';
export type { TokenIds } from './config/token-ids.ts';
export { unlikeFields } from './config/unlike.ts';
export { denseEmbedding, type Embedding, storedTable } from './embedding.ts';
export { denseExperts, type Experts } from './experts.ts';
export type { BartConfig } from './families/bart/config.ts';
export { buildModel, randomWeights } from './families/build.ts';
export type { DecoderConfig, DecoderFields, LlamaConfig } from './families/decoder/config.ts';
export type { DualConfig } from './families/dual/config.ts';
export type { BertConfig, EncoderConfig } from './families/encoder/config.ts';
export type { Gpt2Config } from './families/gpt2/config.ts';
export type { ModernBertConfig } from './families/modernbert/config.ts';
export type { SwinConfig } from './families/swin/config.ts';
export type { T5Config } from './families/t5/config.ts';
export type { VitConfig } from './families/vit/config.ts';
export type { BeamOptions } from './generation/beam-search.ts';
export type { GeneratedToken } from './generation/choice.ts';
export { type GenerateOptions, generate } from './generation/generate.ts';
export { type GeneratorOptions, generator, type TextGenerator } from './generation/generator.ts';
export type { ContinuationSoFar, LogitsProcessor, ProcessOptions } from './generation/processors.ts';
export type { Prompt } from './generation/prompts.ts';
export {
  canRun,
  type RunningBatch,
  type RunningOptions,
  type RunningText,
  runningBatch,
} from './generation/running/running-batch.ts';
export type { MixedRows, RunningModels } from './generation/running/running-programs.ts';
export { type SampleOptions, sampleToken } from './generation/sample.ts';
export type { StreamOptions } from './generation/stream-options.ts';
export { type StreamTextOptions, streamText } from './generation/stream-text.ts';
export { joinHeads, splitHeads } from './heads.ts';
export { type KvCache, renamedCache } from './kv-cache.ts';
export {
  affine,
  type CodedRows,
  type Dense,
  denseLinear,
  isDenseLinear,
  type Linear,
  storedValues,
  viaDense,
  withCodedRows,
} from './linear.ts';
export { type LoadModelOptions, loadModel } from './load-model.ts';
export { addLosses, addTerm, joinLosses, type Loss, type Metric, meanOf, shareOf } from './loss.ts';
export type { Model, ModelLayout, ModelPatch, PassOptions, Recompute } from './model.ts';
export { layerNormLayer, type Norm, type NormValues, rmsNormLayer } from './norm.ts';
export { parameters } from './parameters.ts';
export { type Call, cachedUnder, type Pass, type Sequence, type Slot, slot, uncached } from './pass.ts';
export { normalized, type Pooling } from './pooling.ts';
export { productOf } from './product-of.ts';
export { type LayerRange, repeatLayers } from './repeat-layers.ts';
export { requireModel } from './require-model.ts';
export type { Part, Role } from './roles.ts';
export type { KeysOf } from './rows-alone.ts';
export {
  companionFiles,
  hfConfig,
  type ModelTensor,
  modelTensors,
  type SaveModelOptions,
  saveModel,
} from './save-model.ts';
export { sentenceTask } from './sentence-task.ts';
export { sequenceLogProb } from './sequence-log-prob.ts';
export {
  type Around,
  type AroundTable,
  type KeySite,
  type KeyValue,
  type Path,
  runAround,
  type SiteCore,
  type SiteName,
  type Sites,
  type StreamSite,
  siteNames,
  streamSites,
} from './sites.ts';
export type { Inputs, States } from './states.ts';
export { putRows, takeRows } from './take-rows.ts';
export { covers, nameMatches, type Target, targeted, targetRule } from './target.ts';
export type { CausalLM, LogitsOptions, TaskModel, TaskRun } from './task-model.ts';
export { causalLM, type LanguageModelOptions, maskedLM, seq2seqLM } from './tasks/causal-lm.ts';
export type { ClassLossOptions } from './tasks/class-losses.ts';
export {
  contrastivePairs,
  cosineSimilarity,
  type EmbeddingDistance,
  type EmbeddingLoss,
  multipleNegatives,
  triplets,
} from './tasks/embedding-losses.ts';
export { type FeatureOptions, featureExtraction } from './tasks/feature-extraction.ts';
export {
  addedLogits,
  imageFeatures,
  imageText,
  type PairFeatureOptions,
  textFeatures,
  type ZeroShotOptions,
  zeroShot,
} from './tasks/image-text.ts';
export { type MultipleChoiceOptions, multipleChoice } from './tasks/multiple-choice.ts';
export { questionAnswering } from './tasks/question-answering.ts';
export { type RewardOptions, reward } from './tasks/reward.ts';
export {
  type ClassifierOptions,
  imageClassifier,
  type Problem,
  sequenceClassifier,
} from './tasks/sequence-classifier.ts';
export { type HeadStack, stackedHead } from './tasks/stacked-head.ts';
export type {
  Column,
  Head,
  HeadName,
  LabelLosses,
  LabelLossOptions,
  Pair,
  Predicts,
  Task,
  TaskType,
} from './tasks/task.ts';
export { type TokenClassifierOptions, tokenClassifier } from './tasks/token-classifier.ts';
export { tokenTableOf } from './token-table.ts';
export type { Tower, TowerInputs } from './tower.ts';
export type { WeightDType, WeightSource } from './weights.ts';
