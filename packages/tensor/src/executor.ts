export { byName } from './define-op.ts';
export { arrayName, hostArray, isWhole } from './dtype.ts';
export { checkFeeds, checkWrite } from './feeds.ts';
export { flopsOf, nodeFlops } from './flops.ts';
export {
  type ConstantNode,
  type InputNode,
  initialData,
  type Node,
  type OpNode,
  outputOf,
  upcomingId,
  type VariableNode,
  wasWritten,
} from './graph.ts';
export { hashText } from './hash.ts';
export { hostValues, type NotOnHost } from './host-values.ts';
export { checkNames, keepOnHost, namesToRead, type Results } from './kept.ts';
export { mebibytes } from './mebibytes.ts';
export { type MemoryShortage, memoryError } from './memory-error.ts';
export { type AttentionAttrs, attentionSizes } from './ops/attention-spec.ts';
export { blocksOf } from './ops/blocks.ts';
export { middlesOf, nearestCode, unsignedDynamicMap } from './ops/dynamic-map.ts';
export { matmulSizes } from './ops/matmul.ts';
export { unpackBlocks } from './ops/packed-matrix.ts';
export * as ops from './ops/records.ts';
export type { TransposeAttrs } from './ops/transpose.ts';
export { checkProgram } from './program.ts';
export { interpret } from './reference/interpret.ts';
export { readVariables, type ValueOwner, valueOwner } from './value-owner.ts';
