import { add, after, mul, sub, type Tensor } from '@peftjs/tensor';
import { type Node, type OpNode, upcomingId } from '@peftjs/tensor/executor';
import { applyOp } from '@peftjs/tensor/op';

/** Tensors of the forward pass that the backward pass made anew, so that they were not kept. */
export interface Rebuilt {
  of(t: Tensor): Tensor | undefined;
  put(t: Tensor, value: Tensor): void;
}

/** None so far. */
export const noneRebuilt = (): Rebuilt => {
  const values = new Map<Node, Map<number, Tensor>>();
  return {
    of: ({ node, index }) => values.get(node)?.get(index),
    put: ({ node, index }, value) =>
      values.set(node, (values.get(node) ?? new Map<number, Tensor>()).set(index, value)),
  };
};

/** Part of a graph whose inner values are recomputed in the backward pass instead of stored. */
export interface Region {
  /**
   * Recomputes the region once `token`, the first gradient that reaches it, is there, from what regions behind it rebuilt of its inputs; maps its
   * tensors to the new ones.
   */
  replay(token: Tensor, rebuilt: Rebuilt): (t: Tensor) => Tensor;
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
  replay: (token, rebuilt) => {
    const moved = new Map<Node, Node>();
    const barred = new Map<Node, Map<number, Tensor>>();
    for (const t of reads) {
      const outs = barred.get(t.node) ?? new Map<number, Tensor>();
      if (!outs.has(t.index)) barred.set(t.node, outs.set(t.index, after(rebuilt.of(t) ?? t, token)));
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

/** Runs `fn`, and says that its nodes are recomputed: as `regionFor` makes the region of them. */
const within = <R extends Tensor | readonly Tensor[]>(
  fn: () => R,
  inputs: readonly Tensor[],
  regionFor: (plain: Region, result: R) => Region = (plain) => plain,
): R => {
  const start = upcomingId();
  const result = fn();
  const nodes = madeSince(start, 'node' in result ? [result] : result);
  const region = regionFor(makeRegion(nodes, readsOf(nodes, inputs)), result);
  for (const node of nodes) regions.set(node, region);
  return result;
};

/**
 * Gradient checkpointing: `fn`'s inner values are not kept for the backward pass but computed again from its inputs when the gradient
 * arrives; one more forward pass for memory of the inputs alone. Nested regions count as the outermost.
 * Chen, Xu, Zhang & Guestrin, 2016. https://arxiv.org/abs/1604.06174
 */
export const recomputed =
  <A extends readonly Tensor[], R extends Tensor | readonly Tensor[]>(fn: (...inputs: A) => R): ((...inputs: A) => R) =>
  (...inputs) =>
    within(() => fn(...inputs), inputs);

/** How a coupling is gone back through. */
export interface CouplingOptions {
  /** α, not 0. Default 1. */
  readonly factor?: number;
  /** Whether x is rebuilt; else it is kept, and only `fn`'s inner values are made again. Default true. */
  readonly rebuild?: boolean;
}

/**
 * A reversible coupling: y = α·x + fn(z). Neither `fn`'s inner values nor x are kept for the backward pass: when the gradient arrives `fn` is computed again from z, which gives x = (y − fn(z)) / α. So of a chain of couplings, each of which reads as
 * z what the one before it gave, only the last two values are kept, however long it is. What was rebuilt differs from what it was by rounding: each coupling hands on the error of y divided by α, so a long chain of small factors needs `rebuild: false`
 * here and there. What reads x or z otherwise keeps it. Within `recomputed` it is a part of that, and nothing is rebuilt.
 * Gomez, Ren, Urtasun & Grosse, 2017. https://arxiv.org/abs/1707.04585
 */
export const coupled = (
  x: Tensor,
  z: Tensor,
  fn: (z: Tensor) => Tensor,
  { factor = 1, rebuild = true }: CouplingOptions = {},
): Tensor => {
  let y: Tensor | null = null;
  const added = within(
    () => fn(z),
    [z],
    (plain, result) => ({
      replay: (token, rebuilt) => {
        const at = plain.replay(token, rebuilt);
        if (rebuild && x.node.kind === 'op' && !rebuilt.of(x)) {
          const apart = sub(rebuilt.of(y!) ?? after(y!, token), at(result));
          rebuilt.put(x, factor === 1 ? apart : mul(apart, 1 / factor));
        }
        return at;
      },
    }),
  );
  y = add(factor === 1 ? x : mul(x, factor), added);
  return y;
};
