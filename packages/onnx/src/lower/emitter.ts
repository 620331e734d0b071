import { type DType, halfToNumber, type Shape, type Spec, sizeOf, type TypedArray } from '@peftjs/tensor';
import { type Attribute, type ElementType, elementTypes, type NodeProto, type TensorProto } from '../proto/model.ts';
import type { BitsMatrix } from './few-rows.ts';

/** A value of the ONNX graph. Where a size is known only when it runs, the shape says the largest it can be. */
export interface Value {
  readonly name: string;
  readonly shape: Shape;
  readonly type: ElementType;
}

/** Bytes of one element. */
export const elementBytes: Readonly<Record<ElementType, number>> = {
  float: 4,
  uint8: 1,
  int8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
  float16: 2,
  double: 8,
  uint32: 4,
  uint64: 8,
};

/** How a dtype travels through the graph: f16 as f32, since the CPU computes in f32; only variables come as they are stored. */
export const elementType = (dtype: DType): ElementType =>
  (({ f32: 'float', f16: 'float', i32: 'int32', u32: 'uint32', u8: 'uint8' }) as const)[dtype];

/** The values of f16 bits, in f32; other data as it is. */
export const widen = (dtype: DType, data: TypedArray): Exclude<TypedArray, Uint16Array> =>
  dtype === 'f16' ? Float32Array.from(data, halfToNumber) : (data as Exclude<TypedArray, Uint16Array>);

/** An element type that constants come in. */
export type ConstantType = 'float' | 'int32' | 'uint32' | 'uint8' | 'int8' | 'int64';

const makers: Readonly<Record<ConstantType, (values: readonly number[]) => ArrayBufferView>> = {
  float: (v) => Float32Array.from(v),
  int32: (v) => Int32Array.from(v),
  uint32: (v) => Uint32Array.from(v),
  uint8: (v) => Uint8Array.from(v),
  int8: (v) => Int8Array.from(v),
  int64: (v) => BigInt64Array.from(v, BigInt),
};

/** The bytes of an array, not copied. */
export const bytesOf = (data: ArrayBufferView): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Collects the nodes and initialisers of one ONNX graph; equal nodes and constants are made once. */
export class Emitter {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  /** The weights of an attention and what a cap left of its scores, block by block, by the name of its logSumExp, for its gradient. */
  readonly weightsOf: Map<string, readonly { readonly weights: Value; readonly bent: Value | null }[]> = new Map();
  /** Prefix of the names that follow: the op being lowered. */
  label = 'graph';
  /** Every value by name. */
  readonly values: Map<string, Value> = new Map();
  readonly #names = new Set<string>();
  readonly #known = new Map<string, readonly Value[]>();
  /** Names of indices that are an error where they lie outside of a table: those that a model's user gives. Others find zeros there. */
  readonly strict: Set<string> = new Set();
  /** Whether the graph is to be the same for all sizes: nothing is done in so many parts as a size asks for. */
  sizesAreFree = false;
  /** Constants of one value. */
  readonly scalars: Map<string, number> = new Map();
  /** Names of variables that the program does not change, where they may become constants of the graph: null where they may not. */
  frozen: ReadonlySet<string> | null = null;
  /** Packed matrices that are constants of the graph, by their parts. */
  readonly bitsMatrices: Map<string, BitsMatrix> = new Map();
  readonly #reshaped = new Map<string, Value>();
  readonly #truth = new Map<string, Value>();

  /** A name that nothing else has. */
  unique(base: string): string {
    let name = base;
    for (let i = 2; this.#names.has(name); i++) name = `${base}_${i}`;
    this.#names.add(name);
    return name;
  }

  /** Calls an operator, `com.microsoft.` before its name for a contrib one; returns its outputs. */
  call(
    type: string,
    inputs: readonly (Value | null)[],
    outs: readonly Omit<Value, 'name'>[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): readonly Value[] {
    const names = inputs.map((t) => t?.name ?? '');
    const key = `${type}(${names}) ${JSON.stringify(attributes)} ${outs.map((o) => o.type)}`;
    const known = this.#known.get(key) ?? this.#make(type, names, outs, attributes);
    this.#known.set(key, known);
    return known;
  }

  #make(
    type: string,
    names: readonly string[],
    outs: readonly Omit<Value, 'name'>[],
    attributes: Readonly<Record<string, Attribute>>,
  ): readonly Value[] {
    const dot = type.lastIndexOf('.') + 1;
    const name = this.unique(`${this.label}.${type.slice(dot)}`);
    const values = outs.map((out, i) => ({ ...out, name: outs.length === 1 ? name : this.unique(`${name}.${i}`) }));
    this.nodes.push({
      name,
      type: type.slice(dot),
      domain: type.slice(0, Math.max(0, dot - 1)),
      inputs: names,
      outputs: values.map((v) => v.name),
      attributes,
    });
    for (const v of values) this.values.set(v.name, v);
    return values;
  }

  /** Calls an operator of one output; its element type is the first input's unless told. */
  node(
    type: string,
    inputs: readonly (Value | null)[],
    shape: Shape,
    attributes: Readonly<Record<string, Attribute>> = {},
    element: ElementType = inputs[0]!.type,
  ): Value {
    return this.call(type, inputs, [{ shape, type: element }], attributes)[0]!;
  }

  /**
   * As `node`, for one use alone: a copy of a stored tensor, which must not be in memory from one use to another, from the forward pass to the backward one. To be called when what else that use takes has been made: ONNX Runtime
   * executes depth first, inputs of a node in the order in which they were made, so that the copy comes last.
   */
  copy(
    type: string,
    inputs: readonly [Value, ...Value[]],
    shape: Shape,
    attributes: Readonly<Record<string, Attribute>> = {},
    element: ElementType = inputs[0].type,
  ): Value {
    const names = inputs.map((t) => t.name);
    return this.#make(type, names, [{ shape, type: element }], attributes)[0]!;
  }

  /** A stored tensor of f16 in f32, for one use alone. */
  widened(x: Value): Value {
    return this.copy('Cast', [x], x.shape, { to: elementTypes.float }, 'float');
  }

  /** Makes the name of a value like another. */
  named(base: string, { shape, type }: Omit<Value, 'name'>): string {
    const name = this.unique(base);
    this.values.set(name, { name, shape, type });
    return name;
  }

  /** A value in the model, or in a file beside it. */
  initializer(data: TensorProto['data'], type: ElementType, shape: Shape, base = 'constant'): Value {
    const name = this.named(base, { shape, type });
    this.initializers.push({ name, type, dims: shape, data });
    return { name, shape, type };
  }

  /** A small constant; default a vector, `[]` for a scalar. */
  constant(values: readonly number[], type: ConstantType, shape: Shape = [values.length]): Value {
    const key = `constant ${type} [${shape}] ${values.map((v) => (Object.is(v, -0) ? '-0' : v))}`;
    const known = this.#known.get(key)?.[0] ?? this.initializer(bytesOf(makers[type](values)), type, shape);
    this.#known.set(key, [known]);
    return known;
  }

  /** A scalar, f32 unless told. */
  scalar(value: number, type: ConstantType = 'float'): Value {
    return this.constant([value], type, []);
  }

  /** A vector of int64: shapes, axes, positions. */
  ints(values: readonly number[]): Value {
    return this.constant(values, 'int64');
  }

  /** 0, 1, …, size − 1 in int64. */
  iota(size: number): Value {
    return this.node('Range', [this.scalar(0, 'int64'), this.scalar(size, 'int64'), this.scalar(1, 'int64')], [size]);
  }

  /** Zeros that take no room in the model. */
  zeros({ shape, dtype }: Spec): Value {
    const type = elementType(dtype) as ConstantType;
    if (sizeOf(shape) === 0) return this.constant([], type, shape);
    return this.node('Expand', [this.scalar(0, type), this.ints(shape)], shape);
  }

  cast(x: Value, type: ElementType): Value {
    return x.type === type ? x : this.node('Cast', [x], x.shape, { to: elementTypes[type] }, type);
  }

  /** The tensor that a value is a reshape of, else the value itself. Elementwise ops are best made there: products make and take matrices. */
  source(x: Value): Value {
    return this.#reshaped.get(x.name) ?? x;
  }

  /** The same values under another shape; a reshape of a reshape is one. */
  reshape(x: Value, shape: Shape): Value {
    const source = this.source(x);
    if (source.shape.join() === shape.join()) return source;
    const result = this.node('Reshape', [source, this.ints(shape)], shape, shape.includes(0) ? { allowzero: 1 } : {});
    this.#reshaped.set(result.name, source);
    return result;
  }

  /** The axes in another order; a mere reshape when only axes of size 1 move. */
  transpose(x: Value, perm: readonly number[]): Value {
    const shape = perm.map((p) => x.shape[p]!);
    const long = perm.filter((p) => x.shape[p] !== 1);
    const stays = long.every((p, i) => i === 0 || p > long[i - 1]!);
    return stays ? this.reshape(x, shape) : this.node('Transpose', [x], shape, { perm });
  }

  /** `yes` where a truth value holds, else `no`. */
  where(truth: Value, yes: Value, no: Value, shape: Shape): Value {
    return this.node('Where', [truth, yes, no], shape, {}, yes.type);
  }

  /** The tensor, 1 or 0 of a dtype, of truth values. */
  fromTruth(truth: Value, type: ElementType): Value {
    const value = this.cast(truth, type);
    this.#truth.set(value.name, truth);
    return value;
  }

  /** Where a tensor is not 0. */
  truth(x: Value): Value {
    return this.#truth.get(x.name) ?? this.cast(x, 'bool');
  }
}
