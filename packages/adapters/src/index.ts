export type { Activation, Scale } from './bottleneck.ts';
export { type Fusible, fusible } from './fusible.ts';
export { houlsby } from './houlsby.ts';
export { type LadderSideOptions, ladderSide } from './ladder-side/ladder-side.ts';
export type { BottleneckOptions } from './options.ts';
export { parallelAdapter } from './parallel-adapter.ts';
export { pfeiffer } from './pfeiffer.ts';
