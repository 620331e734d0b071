import type { Tensor } from '@peftjs/tensor';
import type { Node, OpNode } from '@peftjs/tensor/executor';
import { applyOp } from '@peftjs/tensor/op';

/** The tensor that stands in for the first output of an op, given its inputs and attributes. */
export type Rule = (inputs: readonly (Tensor | null)[], attrs: unknown) => Tensor;

const opsBelow = (root: Tensor): OpNode[] => {
  const seen = new Set<OpNode>();
  const stack: Node[] = [root.node];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node.kind !== 'op' || seen.has(node)) continue;
    seen.add(node);
    for (const t of node.inputs) if (t) stack.push(t.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
};

/** The graph again, with the ops named in `rules` replaced. Of a replaced op only the first output may be read. */
export const rewrite = (root: Tensor, rules: Readonly<Record<string, Rule>>): Tensor => {
  const moved = new Map<Node, (t: Tensor) => Tensor>();
  const at = (t: Tensor): Tensor => moved.get(t.node)?.(t) ?? t;
  for (const node of opsBelow(root)) {
    const inputs = node.inputs.map((t) => t && at(t));
    const rule = rules[node.op.name];
    if (rule) {
      const replacement = rule(inputs, node.attrs);
      moved.set(node, () => replacement);
    } else if (inputs.some((t, i) => t !== node.inputs[i])) {
      const copy = applyOp(node.op, inputs, node.attrs);
      moved.set(node, (t) => ({ ...t, node: copy }));
    }
  }
  return at(root);
};
