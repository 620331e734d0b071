import { byteSize, type ConstantNode, type InputNode, type Node, type Tensor, type VariableNode } from '../graph.ts';
import { describe, type Spec } from '../shape.ts';

/** A piece of device memory: a tensor with all its views, or a kernel's scratch. Compared by identity. */
export interface Value {
  /** For messages and tools. */
  readonly label: string;
  /** Bytes of its storage, see `storageBytes`. */
  readonly bytes: number;
  /** `'pool'`: memory of the program's own plan. Else the leaf whose memory it is. */
  readonly home: 'pool' | ConstantNode | VariableNode;
}

/**
 * Bytes that a tensor's storage takes: whole words for f16, whole vec4s at the end, and never nothing, which can't be
 * bound.
 */
export const storageBytes = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);

/** The tensor whose memory a tensor is: itself, or what a chain of views shows. */
export const rootOf = (t: Tensor): Tensor => {
  let root = t;
  while (root.node.kind === 'op' && root.node.op.kernel.kind === 'view') root = root.node.inputs[0]!;
  return root;
};

const homeOf = (node: Node): Value['home'] => (node.kind === 'constant' || node.kind === 'variable' ? node : 'pool');

const nameOf = (node: Node): string =>
  node.kind === 'op' ? node.op.name : node.kind === 'constant' ? 'constant' : `${node.kind} ${node.name}`;

/** The values of one program. */
export interface ValueTable {
  /** The memory of a tensor. */
  of(t: Tensor): Value;
  /** The memory that a feed is written to. */
  ofInput(node: InputNode): Value;
}

/** Scratch memory of a kernel. */
export const scratch = (label: string, bytes: number): Value => ({ label, bytes: storageBytes(bytes), home: 'pool' });

/** Gives each tensor of a program its memory, the same for all its views. */
export const valueTable = (): ValueTable => {
  const known = new Map<Node, Value[]>();
  const make = (node: Node, spec: Spec): Value => ({
    label: `${nameOf(node)} ${describe(spec)}`,
    bytes: storageBytes(byteSize(spec)),
    home: homeOf(node),
  });
  const at = (node: Node, index: number): Value => {
    const values = known.get(node) ?? known.set(node, []).get(node)!;
    values[index] ??= make(node, node.outs[index]!);
    return values[index];
  };
  return {
    of: (t) => {
      const { node, index } = rootOf(t);
      return at(node, index);
    },
    ofInput: (node) => at(node, 0),
  };
};
