import { after, type Tensor } from '@peftjs/tensor';
import { type Node, type OpNode, upcomingId } from '@peftjs/tensor/executor';
import { applyOp } from '@peftjs/tensor/op';

/** Part of a graph whose inner values are recomputed in the backward pass instead of stored. */
export interface Region {
  /** Recomputes the region once `token`, the first gradient that reaches it, is there; maps its tensors to the new ones. */
  replay(token: Tensor): (t: Tensor) => Tensor;
}

const regions = new WeakMap<Node, Region>();

/** The checkpointed region that a node belongs to, if any. */
export const regionOf = (node: Node): Region | undefined => regions.get(node);

/** Nodes made since `start` that `outputs` depend on, in execution order. */
const madeSince = (start: number, outputs: readonly Tensor[]): OpNode[] => {
  const seen = new Set<OpNode>();
  const stack = outputs.map((t) => t.node);
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node.kind !== 'op' || node.id < start || seen.has(node)) continue;
    seen.add(node);
    for (const t of node.inputs) if (t) stack.push(t.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
};

/**
 * Tensors that a region reads and that a run computes or is fed. All of them must wait for the gradient: what depends on a seed or on an encoder's
 * states alone would else be the same value as in the forward pass, which would be kept.
 */
const readsOf = (nodes: readonly OpNode[], inputs: readonly Tensor[]): Tensor[] => {
  const own = new Set<Node>(nodes);
  const isOuter = ({ node }: Tensor): boolean => !own.has(node) && (node.kind === 'op' || node.kind === 'input');
  return [...inputs, ...nodes.flatMap((node) => node.inputs.flatMap((t) => (t && isOuter(t) ? [t] : [])))];
};

const makeRegion = (nodes: readonly OpNode[], reads: readonly Tensor[]): Region => ({
  replay: (token) => {
    const moved = new Map<Node, Node>();
    const barred = new Map<Node, Map<number, Tensor>>();
    for (const t of reads) {
      const outs = barred.get(t.node) ?? new Map<number, Tensor>();
      if (!outs.has(t.index)) barred.set(t.node, outs.set(t.index, after(t, token)));
    }
    const at = (t: Tensor): Tensor => {
      const outer = barred.get(t.node)?.get(t.index);
      const node = moved.get(t.node);
      return outer ?? (node ? { ...t, node } : t);
    };
    for (const node of nodes)
      moved.set(
        node,
        applyOp(
          node.op,
          node.inputs.map((t) => t && at(t)),
          node.attrs,
        ),
      );
    return at;
  },
});

/**
 * Gradient checkpointing: `fn`'s inner values are not kept for the backward pass but computed again from its inputs when the gradient
 * arrives; one more forward pass for memory of the inputs alone. Nested regions count as the outermost.
 * Chen, Xu, Zhang & Guestrin, 2016. https://arxiv.org/abs/1604.06174
 */
export const recomputed =
  <A extends readonly Tensor[], R extends Tensor | readonly Tensor[]>(fn: (...inputs: A) => R): ((...inputs: A) => R) =>
  (...inputs) => {
    const start = upcomingId();
    const result = fn(...inputs);
    const nodes = madeSince(start, 'node' in result ? [result] : result);
    const region = makeRegion(nodes, readsOf(nodes, inputs));
    for (const node of nodes) regions.set(node, region);
    return result;
  };
