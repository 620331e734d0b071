import { byName, type Values } from '../define-op.ts';
import type { Node, OpNode, Tensor } from '../graph.ts';
import type { Program } from '../program.ts';

const runNode = (node: OpNode, valueOf: (t: Tensor) => Values): readonly Values[] => {
  const named = byName(node.op, node.inputs);
  const values = Object.fromEntries(Object.entries(named).map(([name, t]) => [name, valueOf(t)]));
  const run = node.op.reference as (values: unknown, specs: unknown, attrs: unknown) => Values | readonly Values[];
  const result = run(values, { ...named, out: node.outs[0], outs: node.outs }, node.attrs);
  return result instanceof Float64Array ? [result] : result;
};

/** For each node, what no later node reads: dropped at once, so that memory follows the graph and not its length. */
const lastUses = (program: Program): Map<Node, Node[]> => {
  const kept = new Set([...program.outputs.values(), ...program.updates.map(([, t]) => t)].map((t) => t.node));
  const last = new Map<Node, Node>();
  for (const node of program.nodes) for (const t of node.inputs) if (t && !kept.has(t.node)) last.set(t.node, node);
  const drops = new Map<Node, Node[]>();
  for (const [node, user] of last) drops.set(user, [...(drops.get(user) ?? []), node]);
  return drops;
};

/** Runs a program with each op's definition, in double precision throughout; `leaf` gives the values of inputs, constants and variables. */
export const interpret = (program: Program, leaf: (node: Node) => Values): ((t: Tensor) => Values) => {
  const values = new Map<Node, readonly Values[]>();
  const valueOf = (t: Tensor): Values => values.get(t.node)?.[t.index] ?? leaf(t.node);
  const drops = lastUses(program);
  for (const node of program.nodes) {
    values.set(node, runNode(node, valueOf));
    for (const done of drops.get(node) ?? []) values.delete(done);
  }
  return valueOf;
};
