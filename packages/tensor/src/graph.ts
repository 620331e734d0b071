import { type Copy, checkCopy, thisCopy } from './copy.ts';
import type { AnyOp } from './define-op.ts';
import { arrayName, bytesPerElement, type DType, holds, type TypedArray } from './dtype.ts';
import { PeftError } from './error.ts';
import { describe, type Shape, type Spec, sizeOf } from './shape.ts';

interface NodeBase {
  /** Grows with every node made, so creation order is an execution order. */
  readonly id: number;
  /** The copy of this package that made it; see `checkCopy`. */
  readonly copy: Copy;
  readonly outs: readonly Spec[];
}

/** An op applied to tensors. */
export interface OpNode extends NodeBase {
  readonly kind: 'op';
  readonly op: AnyOp;
  /** By the op's input order; null where an optional input is absent. */
  readonly inputs: readonly (Tensor | null)[];
  readonly attrs: unknown;
}

/** A value fed at every run. */
export interface InputNode extends NodeBase {
  readonly kind: 'input';
  readonly name: string;
}

/** A value known when the graph is built. */
export interface ConstantNode extends NodeBase {
  readonly kind: 'constant';
  readonly data: TypedArray;
}

/** Gives the host a tensor's values, on the executor that asks for a first value. */
export type Compute = (t: Tensor) => Promise<TypedArray>;

/**
 * Where a variable's first value comes from: data; a function that reads it when needed, or makes it on the host of values that it lets the executor
 * compute; a graph evaluated once.
 */
export type VariableInit = TypedArray | ((compute: Compute) => TypedArray | Promise<TypedArray>) | Tensor;

/** A leaf whose storage lives on a device and may be updated by programs. */
export interface VariableNode extends NodeBase {
  readonly kind: 'variable';
  readonly name: string;
  readonly init: VariableInit;
}

export type Node = OpNode | InputNode | ConstantNode | VariableNode;

/** One output of a node: never data. */
export interface Tensor extends Spec {
  readonly node: Node;
  readonly index: number;
}

/** A tensor with storage: a weight, an optimiser's moment, a cache. */
export interface Variable extends Tensor {
  readonly node: VariableNode;
}

let nextId = 0;

/** The id that the next node will get. */
export const upcomingId = (): number => nextId;

export const makeNode = <N extends Omit<Node, 'id' | 'copy'>>(node: N): N & Pick<Node, 'id' | 'copy'> => ({
  ...node,
  id: nextId++,
  copy: thisCopy,
});

/** The tensor that stands for one output of a node. */
export const outputOf = (node: Node, index = 0): Tensor => ({ ...node.outs[index]!, node, index });

const checkShape = (what: string, shape: Shape): void => {
  if (!shape.every((d) => Number.isSafeInteger(d) && d >= 0))
    throw new PeftError('bad-shape', `${what}: the sizes of [${shape.join(', ')}] must be non-negative integers`);
};

const checkData = (what: string, spec: Spec, data: TypedArray): void => {
  if (!holds(spec.dtype, data))
    throw new PeftError(
      'bad-dtype',
      `${what}: ${describe(spec)} takes a ${arrayName(spec.dtype)}, got ${(data as TypedArray).constructor.name}`,
    );
  if (data.length !== sizeOf(spec.shape))
    throw new PeftError(
      'bad-shape',
      `${what}: ${describe(spec)} takes ${sizeOf(spec.shape)} values, got ${data.length}`,
    );
};

/** A named value given at every run. */
export const input = (name: string, shape: Shape, dtype: DType = 'f32'): Tensor => {
  checkShape(`input ${name}`, shape);
  return outputOf(makeNode({ kind: 'input', name, outs: [{ shape, dtype }] }) as InputNode);
};

/** A value fixed in the graph. Large weights belong in variables. */
export const constant = (data: TypedArray, shape: Shape, dtype: DType = dtypeOf(data)): Tensor => {
  checkShape('constant', shape);
  checkData('constant', { shape, dtype }, data);
  return outputOf(makeNode({ kind: 'constant', data, outs: [{ shape, dtype }] }) as ConstantNode);
};

const dtypeOf = (data: TypedArray): DType =>
  (['f32', 'i32', 'u32', 'u8'] as const).find((dtype) => holds(dtype, data)) ?? 'f16';

/** A leaf with storage on each executor that uses it; its first value is made when first needed there. */
export const variable = (name: string, shape: Shape, init: VariableInit, dtype: DType = 'f32'): Variable => {
  checkShape(`variable ${name}`, shape);
  const spec: Spec = { shape, dtype };
  if (ArrayBuffer.isView(init)) checkData(`variable ${name}`, spec, init);
  else if (typeof init === 'object') checkCopy(`variable ${name}`, init.node);
  const node = makeNode({ kind: 'variable', name, init, outs: [spec] }) as VariableNode;
  return { ...spec, node, index: 0 };
};

/** Whether a variable takes other values than its initial ones; apart from its node, so that who asks later does not keep the variable alive. */
interface Fate {
  written: boolean;
}

const fates = new WeakMap<VariableNode, Fate>();

const fateOf = (node: VariableNode): Fate => {
  const known = fates.get(node);
  if (known) return known;
  const fate: Fate = { written: false };
  fates.set(node, fate);
  return fate;
};

/** Notes that variables take other values than their initial ones: called where a program updates them, and where they are written. */
export const markWritten = (variables: Iterable<Variable>): void => {
  for (const { node } of variables) {
    checkCopy(`variable ${node.name}`, node);
    fateOf(node).written = true;
  }
};

/** Tells whether a program that updates a variable has been made, or it has been written: its initialiser may not tell its value any more. Does not keep the variable alive. */
export const writtenBy = ({ node }: Variable): (() => boolean) => {
  checkCopy(`variable ${node.name}`, node);
  const fate = fateOf(node);
  return () => fate.written;
};

/** Whether that is so now. */
export const wasWritten = (v: Variable): boolean => writtenBy(v)();

/** Whether a tensor is a variable. */
export const isVariable = (t: Tensor): t is Variable => t.node.kind === 'variable';

const noCompute: Compute = () => {
  throw new PeftError('bad-program', 'a first value that is made of other tensors is known to executors alone');
};

/** A function that loads the host data of a variable's initialiser, checked against its spec; null when it is a graph. The function does not keep the variable alive. */
export const initialLoader = ({ node }: Variable): ((compute?: Compute) => Promise<TypedArray>) | null => {
  checkCopy(`variable ${node.name}`, node);
  const { name, init, outs } = node;
  if (typeof init !== 'function' && !ArrayBuffer.isView(init)) return null;
  return async (compute = noCompute) => {
    const data = typeof init === 'function' ? await init(compute) : init;
    checkData(`variable ${name}`, outs[0]!, data);
    return data;
  };
};

/** That data; null when the initialiser is a graph. */
export const initialData = async (v: Variable, compute?: Compute): Promise<TypedArray | null> =>
  initialLoader(v)?.(compute) ?? null;

/** Bytes of a tensor's values. */
export const byteSize = ({ shape, dtype }: Spec): number => sizeOf(shape) * bytesPerElement(dtype);
