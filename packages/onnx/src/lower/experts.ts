import {
  type ExpertMatmulAttrs,
  type ExpertMatmulPackedAttrs,
  type ExpertOuterAttrs,
  packedFormats,
  type Spec,
} from '@peftjs/tensor';
import { type Attribute, type BodyProto, elementTypes, type NodeProto } from '../proto/model.ts';
import type { Emitter, Value } from './emitter.ts';
import { clamp, keepWhere } from './index-ops.ts';
import type { Rule } from './rule.ts';
import { byteTables } from './unpack.ts';

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

/** How a loop's body comes by the matrix of an expert: values of the graph around it, and the nodes that make `each/weight` of `each/expert` and their names in the body. */
interface Matrices {
  readonly count: number;
  readonly values: readonly Value[];
  nodes(names: readonly string[]): readonly NodeProto[];
}

const plainMatrices = (weight: Value): Matrices => ({
  count: weight.shape[0]!,
  values: [weight],
  nodes: ([all]) => [node('Gather', [all!, 'each/expert'], 'each/weight')],
});

/** Scales that are exponents: 2^(code − 127). */
const powers = Array.from({ length: 256 }, (_, code) => 2 ** (code - 127));

/** The matrix of one expert is unpacked when it is due: levels by tables of bytes, times the scales of their blocks. */
const packedMatrices = (
  g: Emitter,
  codes: Value,
  scale: Value,
  { format, block }: ExpertMatmulPackedAttrs,
): Matrices => {
  const { lowBits, levels } = packedFormats[format];
  const [count, outDim, blocks] = scale.shape as readonly [number, number, number];
  const tables = byteTables(lowBits, (code) => levels[code]!).map((table) => g.constant([...table], 'float'));
  const shapes = [[-1], [outDim * blocks, block], [outDim, blocks * block], [1]].map((shape) => g.ints(shape));
  const isExponent = scale.type === 'uint8';
  return {
    count,
    values: [codes, scale, ...shapes, ...tables, ...(isExponent ? [g.constant(powers, 'float')] : [])],
    nodes: (names) => {
      const [allCodes, allScales, flat, byBlock, whole, column, ...rest] = names as readonly [
        ...[string, string, string, string, string, string],
        ...string[],
      ];
      const places = tables.map((_, place) => `each/place-${place}`);
      const inRow = (of: string): NodeProto[] => [
        node('Cast', [`each/${of}`], `each/${of}-whole`, { to: elementTypes.int32 }),
        node('Reshape', [`each/${of}-whole`, flat], `each/${of}-row`),
      ];
      return [
        node('Gather', [allCodes, 'each/expert'], 'each/codes'),
        ...inRow('codes'),
        ...places.flatMap((place, i) => [
          node('GatherElements', [rest[i]!, 'each/codes-row'], `${place}-row`),
          node('Unsqueeze', [`${place}-row`, column], place),
        ]),
        node('Concat', places, 'each/levels', { axis: 1 }),
        node('Reshape', ['each/levels', byBlock], 'each/blocks'),
        node('Gather', [allScales, 'each/expert'], 'each/scale'),
        ...(isExponent
          ? [...inRow('scale'), node('GatherElements', [rest.at(-1)!, 'each/scale-row'], 'each/factors')]
          : [node('Reshape', ['each/scale', flat], 'each/factors')]),
        node('Unsqueeze', ['each/factors', column], 'each/factor'),
        node('Mul', ['each/blocks', 'each/factor'], 'each/values'),
        node('Reshape', ['each/values', whole], 'each/weight'),
      ];
    },
  };
};

/** Captures of a product's loop in front of those of its matrices. */
const shared = 4;

/** Over the experts that have rows: those rows times the expert's matrix, and where they stood. */
const products = (transposed: boolean, { values, nodes }: Matrices): BodyProto => ({
  captures: shared + values.length,
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
    node('Gather', ['$2', 'each/turn'], 'each/expert'),
    ...rowsOfExpert('$1', '$3'),
    node('Gather', ['$0', 'each/rows'], 'each/x'),
    ...nodes(values.map((_, i) => `$${shared + i}`)),
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
const multiply = (g: Emitter, x: Value, matrices: Matrices, index: Value, out: Spec, transpose: boolean): Value => {
  const rows = out.shape[0]!;
  const { valid, safe } = clamp(g, index, matrices.count);
  const chosen = g.node('Unique', [safe], [rows]);
  const inputs = [g.node('Size', [chosen], [], {}, 'int64'), null, list(g, 'float'), list(g, 'int64')];
  const [made, places] = g.call(
    'Loop',
    [...inputs, x, safe, chosen, g.ints([0]), ...matrices.values],
    [
      { shape: out.shape, type: 'float' },
      { shape: [rows], type: 'int64' },
    ],
    { body: { body: products(transpose, matrices) } },
  ) as readonly [Value, Value];
  const joined = (parts: Value, shape: readonly number[]): Value =>
    g.node('ConcatFromSequence', [parts], shape, { axis: 0 });
  const order = g.node('Unsqueeze', [joined(places, [rows]), g.ints([1])], [rows, 1]);
  return keepWhere(g, valid, g.node('ScatterND', [g.zeros(out), order, joined(made, out.shape)], out.shape));
};

export const expert_matmul: Rule<'x' | 'weight' | 'index', ExpertMatmulAttrs> = (
  { g, x, weight, index, out },
  { transpose = false },
) => multiply(g, x, plainMatrices(weight), index, out, transpose);

export const expert_matmul_packed: Rule<'x' | 'codes' | 'scale' | 'index', ExpertMatmulPackedAttrs> = (
  { g, x, codes, scale, index, out },
  attrs,
) => multiply(g, x, packedMatrices(g, codes, scale, attrs), index, out, attrs.transpose ?? false);

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
