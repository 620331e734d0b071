import type { AnyOp } from './define-op.ts';
import type { ConstantNode, Node, OpNode, Tensor } from './graph.ts';
import { sizeOf } from './shape.ts';

/** Constants up to this many values are compared by value, larger ones by identity. */
const comparedByValue = 64;

const constantKey = (node: ConstantNode): string => {
  const { shape, dtype } = node.outs[0]!;
  return sizeOf(shape) <= comparedByValue ? `constant ${dtype} [${shape}] ${node.data.join()}` : `constant #${node.id}`;
};

/**
 * Common-subexpression elimination: of nodes with the same op, inputs and attributes only the first is kept.
 * `nodes` are in execution order. Returns the map from old tensors to those that replace them.
 */
export const applyCse = (nodes: readonly Node[]): ((t: Tensor) => Tensor) => {
  const byKey = new Map<string, Node>();
  const replaced = new Map<Node, Node>();
  const rewrite = (t: Tensor): Tensor => {
    const node = replaced.get(t.node) ?? t.node;
    return node === t.node ? t : { ...t, node };
  };
  const numbers = new Map<AnyOp, number>();
  const numberOf = (op: AnyOp): number => numbers.get(op) ?? numbers.set(op, numbers.size).get(op)!;
  const intern = (key: string, node: Node): Node => byKey.get(key) ?? byKey.set(key, node).get(key)!;
  for (const node of nodes) {
    if (node.kind === 'constant') replaced.set(node, intern(constantKey(node), node));
    if (node.kind !== 'op') continue;
    const inputs = node.inputs.map((t) => t && rewrite(t));
    const key = `${numberOf(node.op)} ${JSON.stringify(node.attrs)} ${inputs.map((t) => (t ? `${t.node.id}.${t.index}` : '-')).join()}`;
    const moved = inputs.some((t, i) => t?.node !== node.inputs[i]?.node);
    replaced.set(node, intern(key, moved ? ({ ...node, inputs } as OpNode) : node));
  }
  return rewrite;
};
