export {
  type AnyOp,
  applyOp,
  defineOp,
  lift,
  type Named,
  type Names,
  type Op,
  type OpDef,
  type Sample,
  type Specs,
  type Values,
  type VjpScope,
} from './define-op.ts';
export { accepts, agree } from './ops/accepts.ts';
export { broadcastIndex } from './ops/strided-index.ts';
export { unbroadcast } from './ops/unbroadcast.ts';
export { axisOf, broadcastShapes, broadcastStrides, stridesOf } from './shape.ts';
