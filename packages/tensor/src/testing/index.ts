export { describeOp } from './describe-op.ts';
export { expectReference } from './expect-reference.ts';
export { messageOf } from './message-of.ts';
export { mustMatch } from './must-match.ts';
export { differenceOf, mustBeNear, type NearOptions } from './near.ts';
export { type SampleInputs, sampleInputs, sampleOutputs, sampleTitle } from './samples.ts';
export { startOnEach } from './start-on-each.ts';
export { tolerances } from './tolerances.ts';
