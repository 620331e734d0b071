import { byteSize, describe, type Spec, type Tensor, type Variable } from '@peftjs/tensor';
import type { ConstantNode, InputNode, Node, VariableNode } from '@peftjs/tensor/executor';
import { kernelOf } from '../kernel-of.ts';

/** A piece of device memory: a tensor with all its views, or a kernel's scratch. Compared by identity. */
export interface Value {
  /** For messages and tools. */
  readonly label: string;
  /** Bytes of its storage, see `storageBytes`. */
  readonly bytes: number;
  /** `'pool'`: memory of the program's own plan. Else the leaf whose memory it is, or variables that lie end to end. */
  readonly home: 'pool' | ConstantNode | VariableNode | VariablePack;
}

/** Variables that lie end to end in one buffer, by `packOffsets`. */
export interface VariablePack {
  readonly kind: 'pack';
  readonly variables: readonly Variable[];
}

/** Where a part of a buffer may begin: WebGPU's `minStorageBufferOffsetAlignment` is no more anywhere. */
const partAlignment = 256;

/** Where values of these sizes begin when laid end to end in a buffer, and what they take together. */
export const packOffsets = (
  sizes: readonly number[],
): { readonly offsets: readonly number[]; readonly bytes: number } => {
  let bytes = 0;
  const offsets = sizes.map((size) => {
    const at = bytes;
    bytes += Math.ceil(size / partAlignment) * partAlignment;
    return at;
  });
  return { offsets, bytes };
};

/**
 * Bytes that a tensor's storage takes: whole words for f16, whole vec4s at the end, and never nothing, which can't be
 * bound.
 */
export const storageBytes = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);

/** The tensor whose memory a tensor is: itself, or what a chain of views shows. */
export const rootOf = (t: Tensor): Tensor => {
  let root = t;
  while (root.node.kind === 'op' && kernelOf(root.node.op).kind === 'view') root = root.node.inputs[0]!;
  return root;
};

const homeOf = (node: Node): Value['home'] => (node.kind === 'constant' || node.kind === 'variable' ? node : 'pool');

const nameOf = (node: Node): string =>
  node.kind === 'op' ? node.op.name : node.kind === 'constant' ? 'constant' : `${node.kind} ${node.name}`;

/** The values of one program. */
export interface ValueTable {
  /** The memory of a tensor. */
  of(t: Tensor): Value;
  /** The memory of variables that lie end to end. */
  ofPack(variables: readonly Variable[]): Value;
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
    ofPack: (variables) => ({
      label: `${variables[0]!.node.name} and ${variables.length - 1} more`,
      bytes: packOffsets(variables.map((v) => storageBytes(byteSize(v)))).bytes,
      home: { kind: 'pack', variables },
    }),
    ofInput: (node) => at(node, 0),
  };
};
