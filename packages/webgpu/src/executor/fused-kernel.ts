import { bytesPerElement, describe, type Spec, sizeOf, type Tensor } from '@peftjs/tensor';
import { byName, type OpNode, outputOf } from '@peftjs/tensor/executor';
import type { Binding, Dispatch, Kernel } from '../kernel.ts';
import { kernelOf } from '../kernel-of.ts';
import { positionParts, windowOf } from '../kernels/position-shards.ts';
import type { Unit } from './fuse.ts';
import { expressionType, gatherOperands, type Operands, storedType } from './fused-operands.ts';
import { rootOf } from './values.ts';

/** A dispatch that elementwise ops are part of. */
export interface FusedKernel {
  readonly dispatch: Dispatch;
  /** The tensors behind the bindings that the ops brought along. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** For each output, the inputs whose storage it may take: an invocation reads them only where it then writes. */
  readonly inPlace: Readonly<Record<string, readonly string[]>>;
}

const bodyOf = ({ op, attrs, outs }: OpNode): string => {
  const { body } = kernelOf(op) as Extract<Kernel<string, unknown>, { kind: 'elementwise' }>;
  return typeof body === 'string' ? body : body(attrs, outs[0]!);
};

/** The name of a function with an op's expression, declared once for all members that have the same. */
const declareFunction = (
  functions: Map<string, string>,
  node: OpNode,
  inputs: Readonly<Record<string, Spec>>,
  prefix: string,
): string => {
  const args = Object.entries(inputs).map(([name, { dtype }]) => `${name}: ${expressionType(dtype)}`);
  const text = `(${args.join(', ')}) -> ${expressionType(node.outs[0]!.dtype)} { return ${bodyOf(node)}; }`;
  const known = functions.get(text);
  if (known) return known;
  const name = `${prefix}f${functions.size}_${node.op.name}`;
  functions.set(text, name);
  return name;
};

/** The members of a unit in WGSL: statements at position `i`, and where results go. */
interface Body {
  readonly operands: Operands;
  readonly declarations: readonly string[];
  /** Loads, then a statement per member. */
  readonly lines: readonly string[];
  readonly outs: readonly { readonly out: string; readonly value: string; readonly tensor: Tensor }[];
}

/** Each operand is loaded once, members use one another's values. A kernel's own value is `value`. */
const bodyOfUnit = ({ kernel, members, outs }: Unit, prefix: string, inParts = false): Body => {
  const operands = gatherOperands(prefix, inParts);
  const functions = new Map<string, string>();
  const names = new Map<OpNode, string>(kernel ? [[kernel, 'value']] : []);
  const statements = members.map((node, i) => {
    const inputs = byName(node.op, node.inputs);
    const args = Object.values(inputs).map(
      (t) => names.get(rootOf(t).node as OpNode) ?? operands.load(t, node.outs[0]!.shape),
    );
    names.set(node, `${prefix}t${i}`);
    return `let ${prefix}t${i} = ${declareFunction(functions, node, inputs, prefix)}(${args.join(', ')});`;
  });
  return {
    operands,
    declarations: [...operands.declarations, ...[...functions].map(([text, name]) => `fn ${name}${text}`)],
    lines: [...operands.loads, ...statements],
    outs: [...outs].map((node, i) => ({ out: `${prefix}out${i}`, value: names.get(node)!, tensor: outputOf(node) })),
  };
};

/** The bindings of outputs, the tensors behind all bindings, and which outputs may take the memory of which inputs. */
const placesOf = ({
  operands,
  outs,
}: Body): Pick<FusedKernel, 'tensors' | 'inPlace'> & { readonly written: Binding[] } => {
  const sameElement = (out: Tensor): string[] =>
    operands.bindings.flatMap(({ buffer, element }) =>
      element === storedType(out.dtype) &&
      !operands.scattered.has(buffer) &&
      bytesPerElement(out.dtype) === bytesPerElement(operands.tensors[buffer]!.dtype)
        ? [buffer]
        : [],
    );
  return {
    written: outs.map(({ out, tensor }) => ({ buffer: out, access: 'read_write', element: storedType(tensor.dtype) })),
    tensors: { ...operands.tensors, ...Object.fromEntries(outs.map(({ out, tensor }) => [out, tensor])) },
    inPlace: Object.fromEntries(outs.map(({ out, tensor }) => [out, sameElement(tensor)])),
  };
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

const namesOf = ({ members }: Unit): string => {
  const names = members.map(({ op }) => op.name);
  return `${names.slice(0, 6).join('+')}${names.length > 6 ? `+${names.length - 6} more` : ''}`;
};

/** The most that a unit takes of a buffer per position. */
const positionBytes = ({ operands, outs }: Body): number =>
  Math.max(
    ...operands.bindings.flatMap(({ buffer }) =>
      operands.scattered.has(buffer) ? [] : [bytesPerElement(operands.tensors[buffer]!.dtype)],
    ),
    ...outs.map(({ tensor }) => bytesPerElement(tensor.dtype)),
  );

/** The kernel of a unit of elementwise ops alone; several passes where its tensors are more than `maxBytes`, which can't be bound. */
export const fusedKernel = (
  unit: Unit,
  maxBytes?: number,
): Omit<FusedKernel, 'dispatch'> & { readonly dispatches: readonly Dispatch[] } => {
  const size = sizeOf(unit.members[0]!.outs[0]!.shape);
  const plain = bodyOfUnit(unit, '');
  const parts = positionParts(size, { bytes: positionBytes(plain), maxBytes });
  const body = parts.length > 1 ? bodyOfUnit(unit, '', true) : plain;
  const { operands } = body;
  const { written, ...places } = placesOf(body);
  const halves = body.outs.filter(({ tensor }) => tensor.dtype === 'f16');
  const stores = body.outs
    .filter(({ tensor }) => tensor.dtype !== 'f16')
    .map(({ out, value }) => `${out}[i] = ${value};`);
  const invocationsOf = (count: number): number => (halves.length > 0 ? Math.ceil(count / 2) : count);
  const wgsl = `${[halfAt, ...body.declarations].join('\n')}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = group_index(group) * 64u + lane;
  if (index >= p.invocations) { return; }${halves.length > 0 ? paired(body.lines, stores, halves) : single(body.lines, stores)}
}`;
  const dispatches = parts.map((part): Dispatch => {
    const window = ({ buffer, ...binding }: Binding): Binding => {
      const isWhole = operands.scattered.has(buffer);
      return {
        buffer,
        ...binding,
        ...(!isWhole && windowOf(part, size, bytesPerElement(places.tensors[buffer]!.dtype))),
      };
    };
    const invocations = invocationsOf(part.count);
    return {
      label: `${namesOf(unit)}(${describe(unit.members.at(-1)!.outs[0]!)})`,
      wgsl,
      bindings: [...operands.bindings, ...written].map(window),
      params: { ...operands.params, size: part.count, invocations, ...(parts.length > 1 && { first: part.first }) },
      workgroups: Math.ceil(invocations / 64),
    };
  });
  return { dispatches, ...places };
};

/** A kernel's dispatch that computes the elementwise ops which joined it on every value that it emits. */
export const withEpilogue = (unit: Unit, { emits, ...dispatch }: Dispatch): FusedKernel => {
  const body = bodyOfUnit(unit, 'fused_');
  const { written, ...places } = placesOf(body);
  const element = expressionType(unit.kernel!.outs[0]!.dtype);
  const stores = body.outs.map(({ out, value }) => `${out}[i] = ${value};`);
  return {
    dispatch: {
      ...dispatch,
      label: `${dispatch.label ?? unit.kernel!.op.name} + ${namesOf(unit)}`,
      wgsl: `${[halfAt, ...body.declarations].join('\n')}
fn emit(i: u32, value: ${element}) {
  ${[...body.lines, ...stores].join('\n  ')}
}
${dispatch.wgsl}`,
      bindings: [...dispatch.bindings.filter((b) => b.buffer !== emits), ...body.operands.bindings, ...written],
      params: { ...dispatch.params, ...body.operands.params },
    },
    ...places,
  };
};
