export { agrees, referenceOf, type Values } from './agreement.ts';
export { type BenchOptions, parseOptions } from './options.ts';
export { inTurns, type Timed, timedStep } from './quality/timed.ts';
export { forgetPeak, peakMemory } from './run/peak-memory.ts';
export { type Stack, stacks } from './stacks/catalog.ts';
export { line, median, ratio, spread } from './stats.ts';
export { type Group, groups } from './tasks/catalog.ts';
export type { Task } from './tasks/task.ts';
