import type { ExpertMatmulAttrs, ExpertOuterAttrs } from '@peftjs/tensor';
import { type Attribute, type BodyProto, elementTypes, type NodeProto } from '../proto/model.ts';
import type { Emitter, Value } from './emitter.ts';
import { clamp, keepWhere } from './index-ops.ts';
import type { Rule } from './rule.ts';

/** A node of a loop's body, its output under the body's own name. */
const node = (
  type: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, Attribute>> = {},
): NodeProto => {
  const dot = type.lastIndexOf('.') + 1;
  const domain = type.slice(0, Math.max(0, dot - 1));
  return { name: output, type: type.slice(dot), domain, inputs, outputs: [output], attributes };
};

/** The rows of the expert `each/expert` among the experts of all rows: `each/rows`. */
const rowsOfExpert = (index: string, firstAxis: string): readonly NodeProto[] => [
  node('Equal', [index, 'each/expert'], 'each/is-its'),
  node('NonZero', ['each/is-its'], 'each/places'),
  node('Squeeze', ['each/places', firstAxis], 'each/rows'),
];

const goOn = node('Identity', ['each/go'], 'each/go-on');

const loopInputs: BodyProto['inputs'] = [
  { name: 'each/turn', type: 'int64', isScalar: true },
  { name: 'each/go', type: 'bool', isScalar: true },
];

/** Over the experts that have rows: those rows times the expert's matrix, and where they stood. */
const products = (transposed: boolean): BodyProto => ({
  captures: 5,
  inputs: [
    ...loopInputs,
    { name: 'each/before', type: 'float', isList: true },
    { name: 'each/rows-before', type: 'int64', isList: true },
  ],
  outputs: [
    { name: 'each/go-on', type: 'bool' },
    { name: 'each/after', type: 'float', isList: true },
    { name: 'each/rows-after', type: 'int64', isList: true },
  ],
  nodes: [
    goOn,
    node('Gather', ['$3', 'each/turn'], 'each/expert'),
    ...rowsOfExpert('$2', '$4'),
    node('Gather', ['$0', 'each/rows'], 'each/x'),
    node('Gather', ['$1', 'each/expert'], 'each/weight'),
    node('com.microsoft.FusedMatMul', ['each/x', 'each/weight'], 'each/y', { transB: Number(!transposed) }),
    node('SequenceInsert', ['each/before', 'each/y'], 'each/after'),
    node('SequenceInsert', ['each/rows-before', 'each/rows'], 'each/rows-after'),
  ],
});

/** Over all experts: the product of their rows of both sides. */
const gradients: BodyProto = {
  captures: 4,
  inputs: loopInputs,
  outputs: [
    { name: 'each/go-on', type: 'bool' },
    { name: 'each/product', type: 'float' },
  ],
  nodes: [
    goOn,
    node('Identity', ['each/turn'], 'each/expert'),
    ...rowsOfExpert('$2', '$3'),
    node('Gather', ['$0', 'each/rows'], 'each/a'),
    node('Gather', ['$1', 'each/rows'], 'each/b'),
    node('com.microsoft.FusedMatMul', ['each/a', 'each/b'], 'each/product', { transA: 1 }),
  ],
};

const list = (g: Emitter, type: 'float' | 'int64'): Value =>
  g.node('SequenceEmpty', [], [], { dtype: elementTypes[type] }, type);

/**
 * A loop over the experts that have rows, whatever their number: the graph is as large for 8 experts as for 128, and the matrices of the others are not
 * read. What it makes stands expert by expert, and is put back in order at the end.
 */
export const expert_matmul: Rule<'x' | 'weight' | 'index', ExpertMatmulAttrs> = (
  { g, x, weight, index, out },
  { transpose = false },
) => {
  const rows = out.shape[0]!;
  const { valid, safe } = clamp(g, index, weight.shape[0]!);
  const chosen = g.node('Unique', [safe], [rows]);
  const inputs = [g.node('Size', [chosen], [], {}, 'int64'), null, list(g, 'float'), list(g, 'int64')];
  const [made, places] = g.call(
    'Loop',
    [...inputs, x, weight, safe, chosen, g.ints([0])],
    [
      { shape: out.shape, type: 'float' },
      { shape: [rows], type: 'int64' },
    ],
    { body: { body: products(transpose) } },
  ) as readonly [Value, Value];
  const joined = (parts: Value, shape: readonly number[]): Value =>
    g.node('ConcatFromSequence', [parts], shape, { axis: 0 });
  const order = g.node('Unsqueeze', [joined(places, [rows]), g.ints([1])], [rows, 1]);
  return keepWhere(g, valid, g.node('ScatterND', [g.zeros(out), order, joined(made, out.shape)], out.shape));
};

/** A loop over all experts. */
export const expert_outer: Rule<'a' | 'b' | 'index', ExpertOuterAttrs> = ({ g, a, b, index, out }, { experts }) => {
  if (a.shape[0] === 0) return g.zeros(out);
  const { valid, safe } = clamp(g, index, experts);
  return g.node(
    'Loop',
    [g.scalar(experts, 'int64'), null, keepWhere(g, valid, a), b, safe, g.ints([0])],
    out.shape,
    { body: { body: gradients } },
    'float',
  );
};
