export { evaluationBatches, trainingBatches } from './batches.ts';
export { type EvaluatedLoss, type Evaluator, evaluateLoss, makeEvaluator } from './evaluate-loss.ts';
export { type AdamWOptions, adamw, globalNorm, type Optimizer, type OptimizerStep } from './optimizer.ts';
export { type Batch, ignored, makeBatch, type PackOptions, packTokens, type TokenRows } from './pack.ts';
export { formatSeconds, type ProgressOptions, type ProgressStream, progressLine } from './progress.ts';
export { cosine, linear, type Schedule, type ScheduleOptions } from './schedule.ts';
export { type Progress, type TrainOptions, type TrainResult, train } from './train.ts';
export { makeTrainStep, type StepResult, type TrainStep, type TrainStepOptions } from './train-step.ts';
export { allWeights, type Trainable } from './trainable.ts';
