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
export { axisOf, broadcastShapes, broadcastStrides, stridesOf } from './shape.ts';
