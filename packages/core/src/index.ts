export { isObject, type JsonObject, type JsonValue, pythonPattern } from '@peftjs/io';
export { covers, nameMatches, type Target, targeted } from '@peftjs/transformer';
export { load, type SaveOptions, save } from './adapter-file.ts';
export type { AdaptingOptions } from './adapting.ts';
export { addSparse } from './add-sparse.ts';
export { type Adapted, type AttachOptions, attach } from './attach.ts';
export { type AverageOptions, averageAdapters } from './average-adapters.ts';
export { type BetweenOptions, makeBetween } from './between.ts';
export { type BiasChoice, biases } from './biases.ts';
export { type CombinedPart, type CombineOptions, combine, stateUnder } from './combine.ts';
export type { BlockParts } from './compose/block.ts';
export {
  type AverageBlockOptions,
  apart,
  average,
  type BatchSplitBlockOptions,
  type BlockOptions,
  batchSplit,
  type FuseBlockOptions,
  fuse,
  inParallel,
  multiTask,
  parallel,
  type SplitBlockOptions,
  split,
  stack,
} from './compose/blocks.ts';
export { frozen } from './compose/frozen.ts';
export { type AdapterAttention, adapterAttention } from './compose/fusing.ts';
export {
  type Chosen,
  defineMethod,
  type FactoryFormat,
  type Given,
  type MethodDef,
  type MethodFactory,
  type MethodFiles,
  type MethodFormula,
} from './define-method.ts';
export { eachLayer, eachLinear, eachNorm, eachSite, type LayerWraps } from './each.ts';
export { eachParam, type ParamChange, type ParamStep } from './each-param.ts';
export type { Methods } from './find-method.ts';
export { type Finding, type Found, type FoundRule, makeFinding } from './found.ts';
export { countedRows, type Gate, meanGate } from './gate.ts';
export {
  applied,
  type ByParam,
  chain,
  decays,
  type Gradients,
  type GradientTransform,
  type ParamHint,
  type StepContext,
  type Transformed,
  type Updates,
  unscaled,
} from './gradient-transform.ts';
export { hotSwap } from './hot-swap.ts';
export { adapterHubTask, loadHead, saveHead } from './hub-head/hub-head.ts';
export {
  filled,
  glorotUniform,
  type HostInit,
  type Init,
  kaimingUniform,
  normal,
  ones,
  truncatedNormal,
  uniform,
  zeros,
} from './init.ts';
export { layerNumbers, layerOf, layersKept } from './layer-numbers.ts';
export { type LayerTarget, layersOf, type PatternTarget, type RoleTarget } from './layer-target.ts';
export type { LayersInView } from './layers-in-view.ts';
export { type Merged, type MergeOptions, type ModelFormat, merge } from './merge.ts';
export type {
  AdapterConfig,
  Between,
  Compacted,
  Decision,
  Examples,
  Method,
  MethodCard,
  MethodFormat,
  MiddlewareTable,
  Paper,
  Patch,
  PrepareOptions,
  Scope,
  State,
  TrainedStep,
  Wraps,
} from './method.ts';
export { type MixedBatch, mixBatch } from './mix-batch.ts';
export { noWeight } from './no-weight.ts';
export { normalNoise } from './normal-noise.ts';
export { type LossOptions, lossRules, type Objective, penalty, supervised, type Views } from './objective.ts';
export { consistency } from './objectives/consistency.ts';
export { type CpoOptions, cpo, type SimpoOptions, simpo } from './objectives/cpo.ts';
export { type DistillationOptions, distillation } from './objectives/distillation.ts';
export { type DpoLoss, type DpoOptions, dpo } from './objectives/dpo.ts';
export { type GrpoOptions, grpo } from './objectives/grpo.ts';
export { type KtoOptions, kto } from './objectives/kto.ts';
export { labelSmoothing } from './objectives/label-smoothing.ts';
export { type NeftuneOptions, neftune } from './objectives/neftune.ts';
export { type OrpoOptions, orpo } from './objectives/orpo.ts';
export { type ProGradOptions, proGrad } from './objectives/pro-grad.ts';
export { type PtpOptions, ptp } from './objectives/ptp.ts';
export { rDrop } from './objectives/r-drop.ts';
export { type TFewOptions, tFew } from './objectives/t-few.ts';
export { requireOneTower } from './one-tower.ts';
export { requireOneWidth } from './one-width.ts';
export {
  byPattern,
  type Candidates,
  count,
  familyTarget,
  flag,
  number,
  type Option,
  type OptionTable,
  oneOf,
  patternValue,
  positive,
  rate,
  targets,
  wholeNumber,
  withEmbeddings,
} from './option.ts';
export { mergePatches } from './patch.ts';
export { type PolicyAdapterOptions, policyAdapter } from './policy-adapter.ts';
export { prepare } from './prepare.ts';
export { type Projection, type ProjectionStep, projected } from './projection.ts';
export { type PushAdapterOptions, push } from './push.ts';
export { requireAdapted } from './require-adapted.ts';
export {
  makeRouters,
  type Router,
  type RouterOptions,
  type Routers,
  routerFault,
  routerOptions,
} from './router.ts';
export type { Mixes, Settled } from './settled.ts';
export type { Where } from './sight.ts';
export { type Snapshot, snapshot } from './snapshot.ts';
export { rateForWidth, startingRate } from './starting-rate.ts';
export { type Summary, type SummaryRow, summary } from './summary.ts';
export { isRows, type TokenChoice, tokenRows, trainableTokens } from './trainable-tokens.ts';
export { makeTransformRun, type TransformRun } from './transform-run.ts';
export { trainedNorm } from './whole-layers.ts';
