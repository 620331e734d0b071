import { type Program, sizeOf, type Tensor } from '@peftjs/tensor';
import { type Node, type OpNode, ops, type TransposeAttrs } from '@peftjs/tensor/executor';
import { type AnyOp, stridesOf } from '@peftjs/tensor/op';
import { kernelOf } from '../kernel-of.ts';
import { rootOf } from './values.ts';

/** Elements from one step of each axis to the next, by buffer name. */
export type Strides = Readonly<Record<string, readonly number[]>>;

/** A program whose transposes are views where kernels can read or write in another order of axes. */
export interface Arranged {
  readonly program: Program;
  /** Of an op's inputs and outputs that are not row-major. */
  stridesOf(node: OpNode): Strides;
}

/** A reader of a tensor: through which input. */
interface Use {
  readonly node: OpNode;
  readonly input: string;
}

const permOf = (node: Node): readonly number[] | null =>
  node.kind === 'op' && (node.op as unknown) === ops.transpose ? (node.attrs as TransposeAttrs).perm : null;

const inputNames = ({ inputs, optional = [] }: AnyOp): readonly string[] => [...inputs, ...optional];

const takesStrided = ({ op }: OpNode, buffer: string): boolean => {
  const kernel = kernelOf(op);
  return kernel.kind === 'dispatch' && (kernel.strided?.includes(buffer) ?? false);
};

const key = ({ node, index }: Tensor): string => `${node.id}.${index}`;

const usesIn = (program: Program): ((t: Tensor) => readonly Use[]) => {
  const uses = new Map<string, Use[]>();
  for (const node of program.nodes)
    for (const [i, t] of node.inputs.entries())
      if (t) (uses.get(key(t)) ?? uses.set(key(t), []).get(key(t))!).push({ node, input: inputNames(node.op)[i]! });
  return (t) => uses.get(key(t)) ?? [];
};

const outOf = (node: OpNode): Tensor => ({ ...node.outs[0]!, node, index: 0 });

/** Replaces ops of a program by others of the same outputs. */
const rebuild = (program: Program, replace: (node: OpNode) => OpNode): { program: Program; now: Map<Node, OpNode> } => {
  const now = new Map<Node, OpNode>();
  const before = new Map<Node, OpNode>();
  const moved = (t: Tensor): Tensor => ({ ...t, node: now.get(t.node) ?? t.node });
  const nodes = program.nodes.map((node) => {
    const made = { ...replace(node), inputs: node.inputs.map((t) => t && moved(t)) };
    now.set(node, made);
    before.set(made, node);
    return made;
  });
  return {
    now,
    program: {
      ...program,
      nodes,
      outputs: new Map([...program.outputs].map(([name, t]) => [name, moved(t)])),
      updates: program.updates.map(([v, t]) => [v, moved(t)] as const),
      isUsed: (node, index) => program.isUsed(before.get(node) ?? node, index),
    },
  };
};

/**
 * Lets kernels that can (`strided`) read and write tensors in the order of axes in which they lie, or in which they are wanted, so that a
 * transpose between moves nothing: of an input, where all readers of the transposed tensor can; of an output, where all readers of it are
 * the same transpose or can. The last axis stays the last.
 */
export const arrange = (program: Program): Arranged => {
  const usesOf = usesIn(program);
  const strides = new Map<OpNode, Record<string, readonly number[]>>();
  const views = new Set<OpNode>();
  const note = (node: OpNode, buffer: string, value: readonly number[]): void =>
    void ((strides.get(node) ?? strides.set(node, {}).get(node)!)[buffer] = value);
  const results = [...program.outputs.values(), ...program.updates.map(([, t]) => t)];
  const pinned = new Set(results.map((t) => key(rootOf(t))));

  /** The maker writes in the order of the transposed tensor. */
  const writeTransposed = (node: OpNode, perm: readonly number[]): boolean => {
    const from = node.inputs[0]!;
    const maker = from.node;
    const out = `out${from.index}`;
    if (maker.kind !== 'op' || pinned.has(key(from)) || !takesStrided(maker, out)) return false;
    const uses = usesOf(from);
    const isSame = (other: OpNode): boolean => permOf(other)?.join() === perm.join();
    if (!uses.every(({ node: reader, input }) => isSame(reader) || takesStrided(reader, input))) return false;
    const wanted = stridesOf(node.outs[0]!.shape);
    const own = from.shape.map((_, axis) => wanted[perm.indexOf(axis)]!);
    note(maker, out, own);
    for (const { node: reader, input } of uses) if (!isSame(reader)) note(reader, input, own);
    return true;
  };

  /** The readers read in the order of the tensor before. */
  const readTransposed = (node: OpNode, perm: readonly number[]): boolean => {
    const out = outOf(node);
    const uses = usesOf(out);
    if (pinned.has(key(out)) || !uses.every(({ node: reader, input }) => takesStrided(reader, input))) return false;
    const from = stridesOf(node.inputs[0]!.shape);
    for (const { node: reader, input } of uses)
      note(
        reader,
        input,
        perm.map((axis) => from[axis]!),
      );
    return true;
  };

  for (const node of program.nodes) {
    const perm = permOf(node);
    if (!perm || perm.at(-1) !== perm.length - 1 || sizeOf(node.outs[0]!.shape) === 0) continue;
    if (writeTransposed(node, perm) || readTransposed(node, perm)) views.add(node);
  }

  const view = ops.reshape as unknown as AnyOp;
  const { program: arranged, now } = rebuild(program, (node) =>
    views.has(node) ? { ...node, op: view, attrs: { shape: node.outs[0]!.shape } } : node,
  );
  const byNode = new Map([...strides].map(([node, named]) => [now.get(node)!, named]));
  return { program: arranged, stridesOf: (node) => byNode.get(node) ?? {} };
};
