import {
  flopsOf,
  nodeFlops,
  type OpNode,
  type Plan,
  type PlannedKernel,
  type PlannedTensor,
  type Program,
  type Spec,
  sizeOf,
  type Variable,
} from '@peftjs/tensor';
import { elementBytes, elementType } from '../lower/emitter.ts';
import type { Lowered } from '../lower/lower.ts';
import type { NodeProto } from '../proto/model.ts';

/** Operators whose output is their first input's bytes. */
const views = new Set(['Reshape', 'Identity', 'Squeeze', 'Unsqueeze']);

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
 * The peak of the values that the graph makes, when nodes run in order and each value is freed after its last reader.
 * An estimate: ONNX Runtime plans by itself, writes some results over inputs, and of kernels' scratch memory only the largest is counted.
 */
export const peakOf = (lowered: Lowered): Peak => {
  const { model, values } = lowered;
  const maker = new Map(model.nodes.flatMap((n) => n.outputs.map((name) => [name, n] as const)));
  const bytesOf = (name: string): number => {
    const value = maker.has(name) && values.get(name);
    return value ? sizeOf(value.shape) * elementBytes[value.type] : 0;
  };
  const owner = new Map<string, string>();
  const ownerOf = (name: string): string => owner.get(name) ?? name;
  const lastRead = new Map<string, number>();
  model.nodes.forEach((node, i) => {
    if (views.has(node.type)) owner.set(node.outputs[0]!, ownerOf(node.inputs[0]!));
    for (const name of node.inputs) lastRead.set(ownerOf(name), i);
  });
  const kept = new Set(model.outputs.map((v) => ownerOf(v.name)));
  const alive = new Map<string, number>();
  let now = 0;
  let peak = 0;
  let most: readonly (readonly [string, number])[] = [];
  model.nodes.forEach((node, i) => {
    if (!views.has(node.type))
      for (const name of node.outputs) {
        alive.set(name, bytesOf(name));
        now += bytesOf(name);
      }
    const total = now + kernelBytes(node);
    if (total > peak) [peak, most] = [total, [...alive]];
    for (const name of new Set([...node.inputs, ...node.outputs].map(ownerOf)))
      if ((lastRead.get(name) ?? i) === i && !kept.has(name)) {
        now -= bytesOf(name);
        alive.delete(name);
      }
  });
  const tensors = most.map(([name, bytes]): PlannedTensor => {
    const { shape } = values.get(name)!;
    const op = originOf(lowered, maker.get(name)!.name)?.op.name ?? maker.get(name)!.type;
    return { name: `${op} [${shape}]`, kind: 'temporary', bytes };
  });
  return { bytes: peak, tensors: tensors.sort((a, b) => b.bytes - a.bytes) };
};

/** Bytes of a leaf as it is held: f16 as f32. */
export const heldBytes = ({ shape, dtype }: Spec): number => sizeOf(shape) * elementBytes[elementType(dtype)];

/** Nodes by operator; an op's operations count for its first node. */
const kernelsOf = (lowered: Lowered, program: Program): PlannedKernel[] => {
  const kinds = new Map<string, PlannedKernel>();
  const counted = new Set<OpNode>();
  for (const node of lowered.model.nodes) {
    const { count, flops, bytes } = kinds.get(node.type) ?? { count: 0, flops: 0, bytes: 0 };
    const origin = originOf(lowered, node.name);
    const own = origin && !counted.has(origin) ? nodeFlops(origin, program) : 0;
    if (origin) counted.add(origin);
    const moved = views.has(node.type)
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
  variables.map((v) => ({ name: `${v.node.name} [${v.shape}]`, kind: 'variable', bytes: heldBytes(v) }));

/** What is known of a program before it runs. */
export const planOf = (program: Program, lowered: Lowered, peak: Peak): Plan => {
  const leaves = [...program.inputs, ...program.constants].map((n) => n.outs[0]!);
  const held = [...leaves, ...program.variables].reduce((n, spec) => n + heldBytes(spec), 0);
  const kernels = kernelsOf(lowered, program);
  return {
    peakBytes: peak.bytes + held,
    dispatches: lowered.model.nodes.length,
    flops: flopsOf(program),
    bytesMoved: kernels.reduce((n, k) => n + k.bytes, 0),
    tensors: [...plannedVariables(program.variables), ...peak.tensors].sort((a, b) => b.bytes - a.bytes),
    kernels,
  };
};
