import { add, broadcastTo, constant, describe, PeftError, sameShape, type Tensor } from '@peftjs/tensor';
import { byName, type Node, type OpNode } from '@peftjs/tensor/executor';
import { noneRebuilt, type Region, regionOf } from './recomputed.ts';

type Grads = Map<Node, (Tensor | undefined)[]>;

/** The op nodes between `wrt` and `loss`, in execution order, and whether a node depends on `wrt`. */
const pathBetween = (
  loss: Tensor,
  wrt: readonly Tensor[],
): { order: OpNode[]; needs: (t: Tensor | null | undefined) => boolean } => {
  const depends = new Map<Node, boolean>(wrt.map((t) => [t.node, true]));
  const seen = new Set<Node>();
  const nodes: OpNode[] = [];
  const stack: Node[] = [loss.node];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node) || node.kind !== 'op') continue;
    seen.add(node);
    nodes.push(node);
    for (const t of node.inputs) if (t) stack.push(t.node);
  }
  nodes.sort((a, b) => a.id - b.id);
  const needs = (t: Tensor | null | undefined): boolean => t != null && (depends.get(t.node) ?? false);
  for (const node of nodes)
    if (!depends.has(node)) depends.set(node, node.op.vjp !== 'none' && node.inputs.some(needs));
  return { order: nodes.filter((node) => depends.get(node)), needs };
};

const zerosLike = (t: Tensor): Tensor => broadcastTo(constant(Float32Array.of(0), []), t.shape);

const accumulate = (grads: Grads, t: Tensor, dy: Tensor): void => {
  const slots = grads.get(t.node) ?? [];
  const prior = slots[t.index];
  slots[t.index] = prior ? add(prior, dy) : dy;
  grads.set(t.node, slots);
};

/** Applies one node's rule; `at` maps the stored tensors to those the rule may read (recomputed ones inside a checkpoint). */
const backNode = (
  node: OpNode,
  dys: readonly (Tensor | undefined)[],
  at: (t: Tensor) => Tensor,
): Readonly<Record<string, Tensor | undefined>> => {
  const outs = node.outs.map((spec, index) => at({ ...spec, node, index }));
  const inputs = byName(
    node.op,
    node.inputs.map((t) => t && at(t)),
  );
  const vjp = node.op.vjp as Exclude<typeof node.op.vjp, 'none'>;
  const scope = { ...inputs, out: outs[0], outs, dy: dys[0] ?? zerosLike(outs[0]!), dys };
  return vjp(scope as never, node.attrs as never);
};

const checkLoss = (loss: Tensor): void => {
  if (loss.dtype !== 'f32' || !loss.shape.every((d) => d === 1))
    throw new PeftError(
      'bad-shape',
      `grad: the loss must be one f32 value, got ${describe(loss)}; reduce it with sum or mean`,
    );
};

/**
 * Gradients ∂loss/∂wrt by reverse-mode differentiation of the graph: new graph, no data. Only what lies between `wrt` and `loss` is
 * differentiated, so no gradient of a frozen weight is ever formed. A tensor that the loss does not depend on gets zeros.
 * Throws `bad-shape` when the loss is not one f32 value.
 */
export const grad = (loss: Tensor, wrt: readonly Tensor[]): Tensor[] => {
  checkLoss(loss);
  const { order, needs } = pathBetween(loss, wrt);
  const grads: Grads = new Map();
  accumulate(grads, loss, broadcastTo(constant(Float32Array.of(1), []), loss.shape));
  const replays = new Map<Region, (t: Tensor) => Tensor>();
  const rebuilt = noneRebuilt();
  const wanted = new Set(wrt.map((t) => t.node));
  for (const node of order.reverse()) {
    const dys = grads.get(node);
    // What was asked for and depends on nothing else that was: the end of the way, whatever op it is.
    if (!dys || node.op.vjp === 'none' || !node.inputs.some(needs)) continue;
    const region = regionOf(node);
    if (region && !replays.has(region)) replays.set(region, region.replay(dys.find((dy) => dy)!, rebuilt));
    const dxs = backNode(node, dys, (region && replays.get(region)) ?? ((t) => t));
    const names = [...node.op.inputs, ...(node.op.optional ?? [])];
    for (const [i, name] of names.entries()) {
      const x = node.inputs[i];
      const dx = dxs[name];
      if (!x || !dx || !needs(x)) continue;
      if (!sameShape(dx.shape, x.shape))
        throw new PeftError(
          'bad-shape',
          `grad: ${node.op.name} gave a gradient of ${describe(dx)} for its input ${name} of ${describe(x)}`,
        );
      accumulate(grads, x, dx);
    }
    if (!wanted.has(node)) grads.delete(node);
  }
  return wrt.map((t) => grads.get(t.node)?.[t.index] ?? zerosLike(t));
};
