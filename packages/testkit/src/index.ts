export { describeOp, differenceOf, mustBeNear, mustMatch, type NearOptions, tolerances } from '@peftjs/tensor/testing';
export {
  describeLinear,
  distance,
  type Law,
  type LinearRow,
  linearLaws,
  shake,
  tinyBert,
  tinyConfig,
  tinyGpt2,
  tinyGpt2Config,
  tinyLlama,
  tinyT5,
  tinyVit,
  tokens,
} from '@peftjs/transformer/testing';
export { type Architecture, architectures } from './bases.ts';
export { openExecutors } from './executors.ts';
export { describeMethod, describeMethods, type MethodRows, type OnFamilies } from './method/describe-method.ts';
export { familyLaws, methodLaws } from './method/laws.ts';
export type { MethodCase, MethodRow } from './method/row.ts';
export { sumOver } from './method/sum-over.ts';
export { describeTask } from './task/describe-task.ts';
export { type TaskBatch, type TaskRow, taskLaws } from './task/task-laws.ts';
export { describeTransform } from './transform/describe-transform.ts';
export { type TransformRow, transformLaws } from './transform/transform-laws.ts';
