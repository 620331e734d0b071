import type { Tensor } from '@peftjs/tensor';
import type { Node, OpNode } from '@peftjs/tensor/executor';
import { applyOp } from '@peftjs/tensor/op';

const between = (root: Tensor): OpNode[] => {
  const seen = new Set<OpNode>();
  const stack = [root.node];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node.kind !== 'op' || seen.has(node)) continue;
    seen.add(node);
    for (const t of node.inputs) if (t) stack.push(t.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
};

/** The graph of `root` with some leaves replaced; nodes of which `keep` says so stay as they are, whatever goes into them. */
export const rebuild = (
  root: Tensor,
  replaced: ReadonlyMap<Node, Tensor>,
  keep: (node: OpNode) => boolean = () => false,
): Tensor => {
  const moved = new Map<Node, Node>();
  const at = (t: Tensor): Tensor => replaced.get(t.node) ?? { ...t, node: moved.get(t.node) ?? t.node };
  for (const node of between(root)) {
    const inputs = node.inputs.map((t) => t && at(t));
    if (!keep(node) && inputs.some((t, i) => t?.node !== node.inputs[i]?.node))
      moved.set(node, applyOp(node.op, inputs, node.attrs));
  }
  return at(root);
};
