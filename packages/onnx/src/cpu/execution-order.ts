import type { ModelProto, NodeProto } from '../proto/model.ts';

/**
 * The order in which ONNX Runtime executes nodes: depth first from those whose outputs no node reads, last in the file first; of a node's
 * inputs, what is last in the file first. `nodes` are as they are in the file.
 */
export const executionOrder = (nodes: readonly NodeProto[]): NodeProto[] => {
  const index = new Map(nodes.map((n, i) => [n, i] as const));
  const maker = new Map(nodes.flatMap((n) => n.outputs.map((name) => [name, n] as const)));
  const read = new Set(nodes.flatMap((n) => n.inputs.map((name) => maker.get(name))));
  const entered = new Set<NodeProto>();
  const order: NodeProto[] = [];
  const stack: { readonly node: NodeProto; readonly leave: boolean }[] = nodes
    .filter((n) => !read.has(n))
    .map((node) => ({ node, leave: false }));
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { node, leave } = top;
    if (leave) order.push(node);
    if (leave || entered.has(node)) continue;
    entered.add(node);
    stack.push({ node, leave: true });
    const before = new Set(node.inputs.flatMap((name) => maker.get(name) ?? []));
    for (const input of [...before].sort((a, b) => index.get(a)! - index.get(b)!))
      if (!entered.has(input)) stack.push({ node: input, leave: false });
  }
  return order;
};

/**
 * The nodes as they go into the file, so that they run in the order in which they were made: in reverse. A result that other nodes read,
 * such as a weight's gradient whose norm is taken at the end, also gets a reader of its own that no node reads: else it would be made, and
 * what it is made from held, only when those others need it.
 */
export const fileOrder = ({ nodes, outputs }: ModelProto): NodeProto[] => {
  const read = new Set(nodes.flatMap((n) => n.inputs));
  const early = new Set(outputs.map((v) => v.name).filter((name) => read.has(name)));
  const readerOf = (name: string): NodeProto => ({
    name: `${name}.now`,
    type: 'Size',
    domain: '',
    inputs: [name],
    outputs: [`${name}.size`],
    attributes: {},
  });
  return nodes.flatMap((n) => [n, ...n.outputs.filter((name) => early.has(name)).map(readerOf)]).reverse();
};
