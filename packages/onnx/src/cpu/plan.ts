import { flopsOf, type Plan, type Program, type Spec, sizeOf } from '@peftjs/tensor';
import { elementBytes, elementType } from '../lower/emitter.ts';
import type { Lowered } from '../lower/lower.ts';
import type { NodeProto } from '../proto/model.ts';

/** Operators whose output is their first input's bytes. */
const views = new Set(['Reshape', 'Identity', 'Squeeze', 'Unsqueeze']);

/** Bytes of a kernel's own scratch, where they are many: a product by a 4-bit matrix unpacks it. */
const kernelBytes = ({ type, attributes }: NodeProto): number =>
  type === 'MatMulBnb4' ? 4 * Number(attributes['K']) * Number(attributes['N']) : 0;

/**
 * Peak bytes of the values that the graph makes, when nodes run in order and each value is freed after its last reader.
 * An estimate: ONNX Runtime plans by itself, writes some results over inputs, and of kernels' scratch memory only the largest is counted.
 */
export const peakOf = ({ model, values }: Lowered): number => {
  const made = new Set(model.nodes.flatMap((n) => n.outputs));
  const bytesOf = (name: string): number => {
    const value = made.has(name) && values.get(name);
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
  let now = 0;
  let peak = 0;
  model.nodes.forEach((node, i) => {
    if (!views.has(node.type)) for (const name of node.outputs) now += bytesOf(name);
    peak = Math.max(peak, now + kernelBytes(node));
    for (const name of new Set([...node.inputs, ...node.outputs].map(ownerOf)))
      if ((lastRead.get(name) ?? i) === i && !kept.has(name)) now -= bytesOf(name);
  });
  return peak;
};

/** Bytes of a leaf as it is held: f16 as f32. */
export const heldBytes = ({ shape, dtype }: Spec): number => sizeOf(shape) * elementBytes[elementType(dtype)];

/** What is known of a program before it runs; `scratch` is the peak of what its graph makes. */
export const planOf = (program: Program, lowered: Lowered, scratch: number): Plan => {
  const leaves = [...program.inputs, ...program.constants].map((n) => n.outs[0]!);
  const held = [...leaves, ...program.variables].reduce((n, spec) => n + heldBytes(spec), 0);
  return { peakBytes: scratch + held, dispatches: lowered.model.nodes.length, flops: flopsOf(program) };
};
