import { type DType, halfToNumber, type Shape, sizeOf, type Tensor } from '@peftjs/tensor';
import type { ConstantNode } from '@peftjs/tensor/executor';
import { broadcastStrides } from '@peftjs/tensor/op';
import type { Binding, Dispatch } from '../kernel.ts';
import { type Walk, walkFunction } from '../kernels/walk.ts';
import { isScalarConstant } from './readers.ts';
import { rootOf } from './values.ts';

/** Dtype in WGSL expressions: f16 and u8 are storage, computed with as f32 and u32. */
export const expressionType = (dtype: DType): string => (dtype === 'f16' ? 'f32' : dtype === 'u8' ? 'u32' : dtype);

/** Dtype in buffers: f16 lies two to a word and u8 four, so that they need no feature of the device. */
export const storedType = (dtype: DType): string => (dtype === 'f16' || dtype === 'u8' ? 'u32' : dtype);

/** The operands of a fused kernel, resolved. */
export interface Operands {
  /** By binding name. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly bindings: readonly Binding[];
  readonly params: NonNullable<Dispatch['params']>;
  readonly declarations: readonly string[];
  /** Statements that load each operand once, at position `i`. */
  readonly loads: readonly string[];
  /** Bindings that are read at other positions than `i`. */
  readonly scattered: ReadonlySet<string>;
  /** The name that holds an operand's value at position `i` of a consumer of shape `into`. */
  load(operand: Tensor, into: Shape): string;
}

/**
 * The axes along which an operand is walked while its consumer's elements are counted: equal neighbours joined, size
 * 1 dropped.
 */
const walkOf = (shape: Shape, into: Shape): Walk => {
  const strides = broadcastStrides(shape, into);
  const axes: { size: number; stride: number }[] = [];
  for (const [axis, size] of into.entries()) {
    const stride = strides[axis]!;
    const last = axes.at(-1);
    if (size === 1) continue;
    if (last && last.stride === stride * size) axes[axes.length - 1] = { size: last.size * size, stride };
    else axes.push({ size, stride });
  }
  return { sizes: axes.map((a) => a.size), strides: axes.map((a) => a.stride) };
};

const scalarParam = ({ outs, data }: ConstantNode): number | { readonly f32: number } => {
  const { dtype } = outs[0]!;
  const value = data[0]!;
  if (dtype === 'f16') return { f32: halfToNumber(value) };
  return dtype === 'f32' ? { f32: value } : value;
};

/**
 * Gathers the operands of one fused kernel: each buffer bound once, each element loaded once, lone constants as
 * parameters. `prefix` keeps their names apart from those of a kernel around. With `inParts` position `i` counts from `p.first`: buffers are then
 * bound from there on, but for those that are read elsewhere.
 */
export const gatherOperands = (prefix = '', inParts = false): Operands => {
  const tensors: Record<string, Tensor> = {};
  const bindings: Binding[] = [];
  const params: Record<string, number | { readonly f32: number }> = {};
  const declarations: string[] = [];
  const loads: string[] = [];
  const scattered = new Set<string>();
  const names = new Map<string, string>();

  const once = (key: string, make: (name: string) => string): string => {
    const known = names.get(key);
    if (known) return known;
    const name = `${prefix}v${names.size}`;
    names.set(key, name);
    loads.push(`let ${name} = ${make(name)};`);
    return name;
  };

  const bind = (root: Tensor, isScattered: boolean): string => {
    const known = Object.keys(tensors).find(
      (name) =>
        tensors[name]!.node === root.node &&
        tensors[name]!.index === root.index &&
        !(inParts && scattered.has(name) !== isScattered),
    );
    if (known) return known;
    const name = `${prefix}in${bindings.length}`;
    tensors[name] = root;
    bindings.push({ buffer: name, access: 'read', element: storedType(root.dtype) });
    return name;
  };

  const constantValue =
    (node: ConstantNode) =>
    (name: string): string => {
      params[name] = scalarParam(node);
      return node.outs[0]!.dtype === 'i32' ? `bitcast<i32>(p.${name})` : `p.${name}`;
    };

  const element =
    (binding: string, dtype: DType, walk: Walk | null) =>
    (name: string): string => {
      let at = 'i';
      if (walk) {
        const walking = walkFunction(`at_${name}`, walk);
        declarations.push(walking.wgsl);
        Object.assign(params, walking.params);
        at = `at_${name}(${inParts ? 'p.first + i' : 'i'})`;
      }
      if (dtype === 'u8') return `extractBits(${binding}[${at} >> 2u], (${at} & 3u) * 8u, 8u)`;
      return dtype === 'f16' ? `half_at(${binding}[${at} >> 1u], ${at})` : `${binding}[${at}]`;
    };

  return {
    tensors,
    bindings,
    params,
    declarations,
    loads,
    scattered,
    load: (operand, into) => {
      const root = rootOf(operand);
      if (isScalarConstant(root)) return once(`constant ${root.node.id}`, constantValue(root.node as ConstantNode));
      // A broadcast operand of as many elements as its consumer has the same positions.
      const walk = sizeOf(operand.shape) === sizeOf(into) ? null : walkOf(operand.shape, into);
      const binding = bind(root, walk !== null);
      if (walk) scattered.add(binding);
      return once(`${binding} ${walk ? JSON.stringify(walk) : ''}`, element(binding, root.dtype, walk));
    },
  };
};
