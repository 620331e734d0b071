import {
  byteSize,
  type Plan,
  type PlannedKernel,
  type PlannedTensor,
  type Program,
  type Spec,
  sizeOf,
  type Variable,
} from '@peftjs/tensor';
import { flopsOf, nodeFlops, type OpNode } from '@peftjs/tensor/executor';
import { elementBytes, elementType } from '../lower/emitter.ts';
import { packedBytesOf } from '../lower/few-rows.ts';
import type { Lowered } from '../lower/lower.ts';
import type { NodeProto } from '../proto/model.ts';
import { buffersOf, isView } from './buffers.ts';
import { executionOrder, fileOrder } from './execution-order.ts';

/** Bytes of a kernel's own scratch, where they are many: a product by a 4-bit matrix unpacks it. */
const kernelBytes = ({ type, attributes }: NodeProto): number =>
  type === 'MatMulBnb4' ? 4 * Number(attributes['K']) * Number(attributes['N']) : 0;

/** The moment when a graph holds most. */
export interface Peak {
  readonly bytes: number;
  /** The values that are alive then. */
  readonly tensors: readonly PlannedTensor[];
}

const originOf = (lowered: Lowered, name: string): OpNode | undefined =>
  lowered.origins.get(name.slice(0, name.includes('.') ? name.indexOf('.') : name.length));

/**
 * The most that a graph's buffers and results take at once, in the order in which ONNX Runtime executes and as it plans them; results that are
 * written over their variables take nothing.
 */
export const peakOf = (lowered: Lowered, over: ReadonlySet<string> = new Set()): Peak => {
  const { model, values } = lowered;
  const nodes = executionOrder(fileOrder(model));
  const bytesOf = (name: string): number => {
    const value = values.get(name);
    return value ? sizeOf(value.shape) * elementBytes[value.type] : 0;
  };
  const results = model.outputs.map((v) => v.name);
  const buffers = buffersOf(nodes, new Set(results), values);
  const fresh = results.filter((name) => !over.has(name));
  const change = new Float64Array(nodes.length + 1);
  for (const { name, from, to } of buffers) {
    change[from]! += bytesOf(name);
    change[to + 1]! -= bytesOf(name);
  }
  const outside = fresh.reduce((n, name) => n + bytesOf(name), 0);
  let [now, peak, moment] = [outside, outside, 0];
  nodes.forEach((node, i) => {
    now += change[i]!;
    if (now + kernelBytes(node) > peak) [peak, moment] = [now + kernelBytes(node), i];
  });
  const maker = new Map(nodes.flatMap((n) => n.outputs.map((name) => [name, n] as const)));
  const held = buffers.filter(({ from, to }) => from <= moment && moment <= to).map(({ name }) => name);
  const tensors = [...held, ...fresh].map((name): PlannedTensor => {
    const node = maker.get(name)!;
    const op = originOf(lowered, node.name)?.op.name ?? node.type;
    return { name: `${op} [${values.get(name)!.shape}]`, kind: 'temporary', bytes: bytesOf(name) };
  });
  return { bytes: peak, tensors: tensors.sort((x, y) => y.bytes - x.bytes) };
};

/** Bytes of an input or a constant as it is held: f16 as f32. */
const heldBytes = ({ shape, dtype }: Spec): number => sizeOf(shape) * elementBytes[elementType(dtype)];

/** Nodes by operator; an op's operations count for its first node. */
const kernelsOf = (lowered: Lowered, program: Program): PlannedKernel[] => {
  const kinds = new Map<string, PlannedKernel>();
  const counted = new Set<OpNode>();
  for (const node of lowered.model.nodes) {
    const { count, flops, bytes } = kinds.get(node.type) ?? { count: 0, flops: 0, bytes: 0 };
    const origin = originOf(lowered, node.name);
    const own = origin && !counted.has(origin) ? nodeFlops(origin, program) : 0;
    if (origin) counted.add(origin);
    const moved = isView(node)
      ? 0
      : [...node.inputs, ...node.outputs].reduce((n, name) => {
          const value = lowered.values.get(name);
          return n + (value ? sizeOf(value.shape) * elementBytes[value.type] : 0);
        }, 0);
    kinds.set(node.type, { name: node.type, count: count + 1, flops: flops + own, bytes: bytes + moved });
  }
  return [...kinds.values()].sort((a, b) => b.bytes - a.bytes);
};

/** The variables of a program as they take memory. */
export const plannedVariables = (variables: readonly Variable[]): PlannedTensor[] =>
  variables.map((v) => ({ name: `${v.node.name} [${v.shape}]`, kind: 'variable', bytes: byteSize(v) }));

/** The figures of a program before it runs. */
export const planOf = (program: Program, lowered: Lowered, peak: Peak): Plan => {
  const leaves = [...program.inputs, ...program.constants].map((n) => n.outs[0]!);
  const held =
    leaves.reduce((n, spec) => n + heldBytes(spec), 0) + program.variables.reduce((n, v) => n + byteSize(v), 0);
  const kernels = kernelsOf(lowered, program);
  return {
    peakBytes: peak.bytes + held + packedBytesOf(lowered.bitsMatrices),
    dispatches: lowered.model.nodes.length,
    flops: flopsOf(program),
    bytesMoved: kernels.reduce((n, k) => n + k.bytes, 0),
    tensors: [...plannedVariables(program.variables), ...peak.tensors].sort((a, b) => b.bytes - a.bytes),
    kernels,
  };
};
