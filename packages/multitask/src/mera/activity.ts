import type { Adapted, Examples } from '@peftjs/core';
import { sumOutputs } from '@peftjs/core/collect';
import { add, matmul, mul, type OnExecutor, PeftError, reshape, sizeOf, sum, type Tensor } from '@peftjs/tensor';
import type { Inputs, Model } from '@peftjs/transformer';
import { biasOf, type Distances, isDown } from './units.ts';

type Node = Tensor['node'];

/** The examples by which units are told. */
export interface ActivityOptions extends OnExecutor {
  readonly data: readonly Examples[];
}

/** The other factor of each weight in a pass, by the node of the weight: of its first product. */
const readBy = (outputs: Iterable<Tensor>, weights: ReadonlySet<Node>): ReadonlyMap<Node, Tensor> => {
  const found = new Map<Node, Tensor>();
  const seen = new Set<Node>();
  const open = [...outputs].map(({ node }) => node);
  for (let node = open.pop(); node; node = open.pop()) {
    if (seen.has(node) || node.kind !== 'op') continue;
    seen.add(node);
    const [a, b] = node.inputs;
    if (node.op.name === 'matmul' && a && b && weights.has(b.node)) found.set(b.node, a);
    for (const input of node.inputs) if (input) open.push(input.node);
  }
  return found;
};

/** Values of the units of each bottleneck in a pass before their activation, [rows, units], 0 in rows of padding; by the name of the projection to them. */
const activity = ({ model, state }: Adapted<Model>, inputs: Inputs): ReadonlyMap<string, Tensor> => {
  const downs = [...state].filter(([name]) => isDown(name));
  const inputOf = readBy(model.states(inputs).byTower.values(), new Set(downs.map(([, { node }]) => node)));
  return new Map(
    downs.flatMap(([name, down]) => {
      const x = inputOf.get(down.node);
      if (!x) return []; // a layer that these examples do not reach
      const bias = state.get(biasOf(name));
      const product = matmul(x, down, { transposeB: true });
      const values = bias ? add(product, bias) : product;
      const tower = model.towers.find((one) => one.paths('block').some((path) => name.startsWith(`${path}.`)));
      const mask = tower && inputs[tower.reads.mask];
      return [[name, mask && sizeOf(mask.shape) === x.shape[0] ? mul(values, reshape(mask, [-1, 1])) : values]];
    }),
  );
};

/** Terms of a batch in the squared distances of units: sums of squares of one and of the other, and of products. */
const termsOf = (one: Tensor, other: Tensor): readonly [string, Tensor][] => [
  ['one', sum(mul(one, one), { axes: [0] })],
  ['other', sum(mul(other, other), { axes: [0] })],
  ['both', matmul(one, other, { transposeA: true })],
];

/**
 * Euclidean distances of the units of two adapters' bottlenecks, of their values before the activation over all tokens of the examples, each adapter in a pass of its own; by the name of the projection to them. Throws `bad-option` for a bottleneck
 * that no example reaches.
 */
export const distancesOfActivity = async (
  one: Adapted<Model>,
  other: Adapted<Model>,
  look: ActivityOptions,
): Promise<ReadonlyMap<string, Distances>> => {
  const sums = await sumOutputs(look, (inputs) => {
    const [ours, theirs] = [activity(one, inputs), activity(other, inputs)];
    return Object.fromEntries(
      [...ours].flatMap(([name, values]) =>
        termsOf(values, theirs.get(name)!).map(([part, term]) => [`${part} ${name}`, term] as const),
      ),
    );
  });
  const downs = [...one.state.keys()].filter(isDown);
  const unreached = downs.filter((name) => !sums.has(`both ${name}`));
  if (unreached.length > 0)
    throw new PeftError('bad-option', `mera: no example reaches ${unreached.join(', ')}; give data of all towers`);
  return new Map(
    downs.map((name) => {
      const [a, b, both] = ['one', 'other', 'both'].map((part) => sums.get(`${part} ${name}`)!);
      return [
        name,
        Array.from(a!, (v, i) =>
          Array.from(b!, (w, j) => Math.sqrt(Math.max(0, v + w - 2 * both![i * b!.length + j]!))),
        ),
      ];
    }),
  );
};
