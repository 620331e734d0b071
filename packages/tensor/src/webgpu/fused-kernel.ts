import { byName } from '../define-op.ts';
import { bytesPerElement } from '../dtype.ts';
import { type OpNode, outputOf, type Tensor } from '../graph.ts';
import type { Binding, Dispatch, Kernel } from '../kernel.ts';
import { describe, type Spec, sizeOf } from '../shape.ts';
import type { FusedUnit } from './fuse.ts';
import { expressionType, gatherOperands, type Operands, storedType } from './fused-operands.ts';
import { rootOf } from './values.ts';

/** The kernel of a fused unit. */
export interface FusedKernel {
  readonly dispatch: Dispatch;
  /** The tensors behind its bindings. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** For each output, the inputs whose storage it may take: an invocation reads them only where it then writes. */
  readonly inPlace: Readonly<Record<string, readonly string[]>>;
}

const bodyOf = ({ op, attrs, outs }: OpNode): string => {
  const { body } = op.kernel as Extract<Kernel<string, unknown>, { kind: 'elementwise' }>;
  return typeof body === 'string' ? body : body(attrs, outs[0]!);
};

/** The name of a function with an op's expression, declared once for all members that have the same. */
const declareFunction = (
  functions: Map<string, string>,
  node: OpNode,
  inputs: Readonly<Record<string, Spec>>,
): string => {
  const args = Object.entries(inputs).map(([name, { dtype }]) => `${name}: ${expressionType(dtype)}`);
  const text = `(${args.join(', ')}) -> ${expressionType(node.outs[0]!.dtype)} { return ${bodyOf(node)}; }`;
  const known = functions.get(text);
  if (known) return known;
  const name = `f${functions.size}_${node.op.name}`;
  functions.set(text, name);
  return name;
};

/** One statement per member, and the name that holds each member's value. */
const computeMembers = (
  { members }: FusedUnit,
  operands: Operands,
  functions: Map<string, string>,
): { readonly lines: string[]; readonly names: Map<OpNode, string> } => {
  const names = new Map<OpNode, string>();
  const lines = members.map((node, i) => {
    const inputs = byName(node.op, node.inputs);
    const args = Object.values(inputs).map(
      (t) => names.get(rootOf(t).node as OpNode) ?? operands.load(t, node.outs[0]!.shape),
    );
    names.set(node, `t${i}`);
    return `let t${i} = ${declareFunction(functions, node, inputs)}(${args.join(', ')});`;
  });
  return { lines, names };
};

const halfAt = 'fn half_at(word: u32, i: u32) -> f32 { return unpack2x16float(word)[i & 1u]; }';

/** One invocation per element. */
const single = (lines: readonly string[], stores: readonly string[]): string => `
  let i = index;
  ${[...lines, ...stores].join('\n  ')}`;

/** One invocation per pair of elements, so that a word of two f16 is written whole. */
const paired = (
  lines: readonly string[],
  stores: readonly string[],
  halves: readonly { readonly out: string; readonly value: string }[],
): string => `
  ${halves.map(({ out }) => `var pair_${out} = vec2<f32>();`).join('\n  ')}
  for (var i = 2u * index; i < min(2u * index + 2u, p.size); i++) {
    ${[...lines, ...stores, ...halves.map(({ out, value }) => `pair_${out}[i & 1u] = ${value};`)].join('\n    ')}
  }
  ${halves.map(({ out }) => `${out}[index] = pack2x16float(pair_${out});`).join('\n  ')}`;

const labelOf = ({ members }: FusedUnit): string => {
  const names = members.map(({ op }) => op.name);
  return `${names.slice(0, 6).join('+')}${names.length > 6 ? `+${names.length - 6} more` : ''}(${describe(members.at(-1)!.outs[0]!)})`;
};

/**
 * Generates the WGSL of a fused unit: each operand is loaded once, members call one another's values, only `outs` are
 * stored.
 */
export const fusedKernel = (unit: FusedUnit): FusedKernel => {
  const operands = gatherOperands();
  const functions = new Map<string, string>();
  const { lines, names } = computeMembers(unit, operands, functions);
  const outs = unit.outs.map((node, i) => ({ out: `out${i}`, value: names.get(node)!, tensor: outputOf(node) }));
  const halves = outs.filter(({ tensor }) => tensor.dtype === 'f16');
  const stores = outs.filter(({ tensor }) => tensor.dtype !== 'f16').map(({ out, value }) => `${out}[i] = ${value};`);
  const body = [...operands.loads, ...lines];
  const size = sizeOf(unit.members[0]!.outs[0]!.shape);
  const invocations = halves.length > 0 ? Math.ceil(size / 2) : size;
  const wgsl = `${[halfAt, ...operands.declarations, ...[...functions].map(([text, name]) => `fn ${name}${text}`)].join('\n')}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = group_index(group) * 64u + lane;
  if (index >= p.invocations) { return; }${halves.length > 0 ? paired(body, stores, halves) : single(body, stores)}
}`;
  const written: Binding[] = outs.map(({ out, tensor }) => ({
    buffer: out,
    access: 'read_write',
    element: storedType(tensor.dtype),
  }));
  const sameElement = (out: Tensor): string[] =>
    operands.bindings.flatMap(({ buffer, element }) =>
      element === storedType(out.dtype) &&
      !operands.scattered.has(buffer) &&
      bytesPerElement(out.dtype) === bytesPerElement(operands.tensors[buffer]!.dtype)
        ? [buffer]
        : [],
    );
  return {
    dispatch: {
      label: labelOf(unit),
      wgsl,
      bindings: [...operands.bindings, ...written],
      params: { ...operands.params, size, invocations },
      workgroups: Math.ceil(invocations / 64),
    },
    tensors: { ...operands.tensors, ...Object.fromEntries(outs.map(({ out, tensor }) => [out, tensor])) },
    inPlace: Object.fromEntries(outs.map(({ out, tensor }) => [out, sameElement(tensor)])),
  };
};
