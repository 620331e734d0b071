export { chain } from '@peftjs/core';
export { type Batch, ignored, type PackOptions, packTokens, type TokenRows } from '@peftjs/data';
export { evaluationBatches, trainingBatches } from './batches.ts';
export { type CheckpointOptions, readCheckpoint, type WriteCheckpointOptions, writeCheckpoint } from './checkpoint.ts';
export { type EvaluatedLoss, type EvaluateLossOptions, evaluateLoss } from './evaluate-loss.ts';
export { evaluateModel } from './evaluate-model.ts';
export { type Evaluation, type EvaluationOptions, type Evaluator, makeEvaluator } from './evaluator.ts';
export { type FindRateOptions, type FoundRate, findRate, type TriedRate } from './find-rate.ts';
export { alone, type Group, type ReduceStepOptions, reduceStep } from './group.ts';
export { type LargestBatch, type LargestBatchOptions, largestBatch } from './largest-batch.ts';
export { jsonLog } from './logs/json-lines.ts';
export type { Logger } from './logs/logger.ts';
export { type MlflowOptions, mlflow } from './logs/mlflow.ts';
export { tensorBoard } from './logs/tensor-board.ts';
export { type WandbOptions, wandb } from './logs/wandb.ts';
export { accuracy } from './measures/accuracy.ts';
export { bleu } from './measures/bleu.ts';
export { type EceOptions, ece, nll } from './measures/calibration.ts';
export { pearson, spearman } from './measures/correlation.ts';
export { type Entity, type EntityScores, entitiesOf, entityScores } from './measures/entities.ts';
export { type Average, f1, f1OfSets } from './measures/f1.ts';
export { mcc } from './measures/mcc.ts';
export type { Measure, Outcomes } from './measures/measure.ts';
export { type MeasureName, measureNames } from './measures/measure-of.ts';
export { type RougeScores, rouge } from './measures/rouge.ts';
export { spanScores } from './measures/spans.ts';
export { type AnswerScores, answerScores } from './measures/squad.ts';
export { type OldLogProbs, oldLogProbs } from './old-log-probs.ts';
export { type NamedOptimizer, type OptimizersByName, optimizerNames, optimizerOf } from './optimizer-of.ts';
export { type OptimizerStep, optimizerStep, steppedParams } from './optimizer-step.ts';
export { type AdafactorOptions, adafactor } from './optimizers/adafactor.ts';
export type { AdamWOptions } from './optimizers/adam-hyper.ts';
export { adamw } from './optimizers/adamw.ts';
export { type AdamW8bitOptions, adamw8bit } from './optimizers/adamw-8bit.ts';
export { clip } from './optimizers/clip.ts';
export { globalNorm } from './optimizers/global-norm.ts';
export { type LionOptions, lion } from './optimizers/lion.ts';
export { type MuonOptions, muon } from './optimizers/muon.ts';
export { type ProdigyOptions, prodigy } from './optimizers/prodigy.ts';
export { type ScheduleFreeOptions, scheduleFree } from './optimizers/schedule-free.ts';
export { type SgdOptions, sgd } from './optimizers/sgd.ts';
export { makeBatch } from './pack.ts';
export type { BatchSpec } from './programs.ts';
export {
  formatSeconds,
  type Progress,
  type ProgressOptions,
  type ProgressStream,
  progressLine,
  shareBar,
} from './progress.ts';
export { type RewardFunction, type Rollout, type RolloutOptions, rollouts } from './rollouts.ts';
export type { Resumed } from './run-checkpoint.ts';
export type { Evaluated, RunState } from './run-state.ts';
export type { KeptCheckpoint } from './safe.ts';
export type { Measured, Schedule, ScheduleOptions, WarmupOptions } from './schedule.ts';
export { type NamedSchedule, type SchedulesByName, scheduleNames, scheduleOf } from './schedule-of.ts';
export { constantRate } from './schedules/constant-rate.ts';
export { cosine } from './schedules/cosine.ts';
export { type CosineRestartsOptions, cosineRestarts } from './schedules/cosine-restarts.ts';
export { type InverseSqrtOptions, inverseSqrt } from './schedules/inverse-sqrt.ts';
export { linear } from './schedules/linear.ts';
export { type PolynomialOptions, polynomial } from './schedules/polynomial.ts';
export { type ReduceOnPlateauOptions, reduceOnPlateau } from './schedules/reduce-on-plateau.ts';
export { type WsdOptions, wsd } from './schedules/wsd.ts';
export type { Comparison } from './standing.ts';
export { type StepsOfOptions, stepsOf } from './steps-of.ts';
export type { StopSignal } from './stop-on.ts';
export { type TrainResult, train } from './train.ts';
export type { HeldOutOptions, Measurement, TrainOptions } from './train-options.ts';
export { makeTrainStep, type StepResult, type TrainStep, type TrainStepOptions } from './train-step.ts';
export { allWeights, type Trainable } from './trainable.ts';
