export { describeOp } from './describe-op.ts';
export { limitedGpu } from './limited-gpu.ts';
export { mustMatch } from './must-match.ts';
export { differenceOf, mustBeNear, type NearOptions } from './near.ts';
export { type SampleInputs, sampleInputs, sampleOutputs, sampleTitle } from './samples.ts';
export { tolerances } from './tolerances.ts';
