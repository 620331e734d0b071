import type { NodeProto } from '../proto/model.ts';
import type { Emitter, Value } from './emitter.ts';

/** Products of fewer rows than this stay as they are: there is little to gain. */
const leastRows = 8;

const sameDims = (a: Value | undefined, b: Value | undefined): boolean =>
  a !== undefined && b !== undefined && a.shape.join() === b.shape.join();

/**
 * Rewrites what the rules could not see, one op at a time: x + a·b becomes one Gemm that adds to x as it multiplies (a pass over memory
 * less), and a norm whose second output nobody reads becomes the standard operator.
 */
export const fuse = (g: Emitter, nodes: readonly NodeProto[], results: readonly string[]): NodeProto[] => {
  const producer = new Map(nodes.flatMap((n) => n.outputs.map((name) => [name, n] as const)));
  const readers = new Map<string, number>();
  for (const name of [...nodes.flatMap((n) => n.inputs), ...results]) readers.set(name, (readers.get(name) ?? 0) + 1);
  const value = (name: string): Value | undefined => g.values.get(name);

  /** The product of two matrices that a value is, under whatever shape; null when something else reads it too. */
  const productBehind = (name: string): NodeProto | null => {
    const node = producer.get(name);
    if (!node || readers.get(name) !== 1) return null;
    if (node.type === 'Reshape') return productBehind(node.inputs[0]!);
    return node.type === 'FusedMatMul' && [...node.inputs, name].every((n) => value(n)?.shape.length === 2)
      ? node
      : null;
  };

  const addToProduct = (node: NodeProto): NodeProto[] | null => {
    const [out] = node.outputs as [string];
    for (const [own, other] of [
      [1, 0],
      [0, 1],
    ].map(([i, j]) => [node.inputs[i!]!, node.inputs[j!]!] as const)) {
      const product = productBehind(own);
      const made = product && value(product.outputs[0]!)!;
      if (!made || !sameDims(value(other), value(out)) || made.shape[0]! < leastRows) continue;
      const gemm = (name: string, addend: string, output: string): NodeProto => ({
        ...node,
        name,
        type: 'Gemm',
        inputs: [...product.inputs, addend],
        outputs: [output],
        attributes: { ...product.attributes, beta: { float: 1 } },
      });
      if (sameDims(made, value(out))) return [gemm(node.name, other, out)];
      const reshape = (from: string, to: string, shape: readonly number[]): NodeProto => ({
        ...node,
        name: `${to}/Reshape`,
        type: 'Reshape',
        inputs: [from, g.ints(shape).name],
        outputs: [to],
        attributes: {},
      });
      const [addend, sum] = [g.named(`${node.name}.addend`, made), g.named(`${node.name}.sum`, made)];
      return [reshape(other, addend, made.shape), gemm(sum, addend, sum), reshape(sum, out, value(out)!.shape)];
    }
    return null;
  };

  return nodes.flatMap((node) => {
    if (node.type === 'Add') return addToProduct(node) ?? [node];
    const [y, inverse] = node.outputs;
    if (node.type === 'SimplifiedLayerNormalization' && !readers.has(inverse!))
      return [{ ...node, type: 'RMSNormalization', outputs: [y!] }];
    return [node];
  });
};
