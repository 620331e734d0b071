import { checkCopy } from './copy.ts';
import type { DType } from './dtype.ts';
import { constant, makeNode, type Node, type OpNode, outputOf, type Tensor } from './graph.ts';
import type { Shape, Spec } from './shape.ts';

/** Where a tensor is wanted, a number stands for a scalar f32. */
export type TensorLike = Tensor | number;

/** Input names in order. */
export type Names = readonly string[];

/** One `T` by name for every input, perhaps none for the optional ones. */
export type Named<In extends Names, Opt extends Names, T> = { readonly [K in In[number]]: T } & {
  readonly [K in Opt[number]]?: T;
};

/** The context of a gradient rule: the inputs by name, the outputs and their gradients. */
export type VjpScope<In extends Names, Opt extends Names> = Named<In, Opt, Tensor> & {
  /** The first output and its gradient (zeros where none arrives). */
  readonly out: Tensor;
  readonly dy: Tensor;
  /** All of them; undefined where no gradient arrives. */
  readonly outs: readonly Tensor[];
  readonly dys: readonly (Tensor | undefined)[];
};

/** The specs of the inputs by name and of the outputs. */
export type Specs<In extends Names, Opt extends Names> = Named<In, Opt, Spec> & {
  readonly out: Spec;
  readonly outs: readonly Spec[];
};

/** Values in the reference executor: double precision for every dtype. */
export type Values = Float64Array;

/** One case that tests, gradient checks and benches all run. */
export interface Sample<Input extends string, A> {
  readonly shapes: { readonly [K in Input]?: Shape };
  readonly attrs?: A;
  /** Default f32. */
  readonly dtypes?: { readonly [K in Input]?: DType };
  /** Values are drawn uniformly from [low, high); integers for integer dtypes. Default [-1, 1). */
  readonly ranges?: { readonly [K in Input]?: readonly [low: number, high: number] };
  /** Values by position, where a range can't say it (masks, permutations). */
  readonly values?: { readonly [K in Input]?: (index: number) => number };
  /** Whether the function is a staircase here, so that differences say nothing of its gradient, which goes straight through. Default false. */
  readonly rounds?: boolean;
}

/** One op: how shapes combine, how values are computed, how gradients flow back. One file each. */
export interface OpDef<
  Name extends string,
  In extends Names,
  Opt extends Names,
  A,
  Out extends Spec | readonly Spec[],
> {
  readonly name: Name;
  readonly inputs: In;
  /** Inputs that may be absent (null), after the others. */
  readonly optional?: Opt;
  /** Shape and dtype of the output, or of each; throws `bad-shape` or `bad-dtype` naming op, specs and remedy. */
  infer(specs: Named<In, Opt, Spec>, attrs: A): Out;
  /** Gradients by input name, made of ops; those that nobody wants never enter a program. `'none'`: not differentiable, on purpose. */
  readonly vjp:
    | 'none'
    | ((t: VjpScope<In, Opt>, attrs: A) => { readonly [K in In[number] | Opt[number]]?: Tensor | undefined });
  /** The definition, in plain loops over double-precision values. */
  reference(values: Named<In, Opt, Values>, specs: Specs<In, Opt>, attrs: A): Values | readonly Values[];
  /**
   * Floating-point operations of one run; `isUsed` tells which outputs somebody reads. Default: one per element of the first output.
   */
  flops?(specs: Specs<In, Opt>, attrs: A, isUsed: (output: number) => boolean): number;
  readonly samples: readonly Sample<In[number] | Opt[number], NoInfer<A>>[];
}

type AttrArgs<A> = [A] extends [void] ? [] : Record<never, never> extends A ? [attrs?: A] : [attrs: A];
type Result<Out> = Out extends readonly Spec[] ? { readonly [K in keyof Out]: Tensor } : Tensor;

/** An op is its record, and a function of its inputs in order, then its attributes. */
export type Op<
  Name extends string,
  In extends Names,
  Opt extends Names = readonly [],
  A = void,
  Out extends Spec | readonly Spec[] = Spec,
> = OpDef<Name, In, Opt, A, Out> &
  ((
    ...args: [...{ [K in keyof In]: TensorLike }, ...{ [K in keyof Opt]: TensorLike | null }, ...AttrArgs<A>]
  ) => Result<Out>);

/** Any op, where its types no longer matter. */
export interface AnyOp {
  readonly name: string;
  readonly inputs: Names;
  readonly optional?: Names;
  infer(specs: never, attrs: never): Spec | readonly Spec[];
  readonly vjp: 'none' | ((t: never, attrs: never) => Readonly<Record<string, Tensor | undefined>>);
  reference(values: never, specs: never, attrs: never): Values | readonly Values[];
  flops?(specs: never, attrs: never, isUsed: (output: number) => boolean): number;
  readonly samples: readonly Sample<string, never>[];
}

/** A tensor, or a number as a scalar constant. */
export const lift = (x: TensorLike): Tensor => (typeof x === 'number' ? constant(Float32Array.of(x), []) : x);

/** The inputs of an op by name; absent optional ones are left out. */
export const byName = <T>(op: Pick<AnyOp, 'inputs' | 'optional'>, items: readonly (T | null)[]): Record<string, T> => {
  const named: Record<string, T> = {};
  for (const [i, name] of [...op.inputs, ...(op.optional ?? [])].entries())
    if (items[i] != null) named[name] = items[i];
  return named;
};

/** The node of an op over given inputs, in the record's order. */
export const applyOp = (op: AnyOp, inputs: readonly (Tensor | null)[], attrs: unknown): Node => {
  for (const t of inputs) if (t) checkCopy(op.name, t.node);
  const inferred = (op.infer as (specs: unknown, attrs: unknown) => Spec | readonly Spec[])(byName(op, inputs), attrs);
  const outs = (Array.isArray(inferred) ? inferred : [inferred]) as readonly Spec[];
  return makeNode({
    kind: 'op',
    op,
    inputs,
    attrs,
    outs: outs.map(({ shape, dtype }) => ({ shape, dtype })),
  }) as OpNode;
};

/** Makes an op callable: `silu(x)`, `matmul(a, b, { transposeB: true })`. */
export function defineOp<
  Name extends string,
  const In extends Names,
  const Opt extends Names = readonly [],
  A = void,
  Out extends Spec | readonly Spec[] = Spec,
>(def: OpDef<Name, In, Opt, A, Out>): Op<Name, In, Opt, A, Out> {
  const arity = def.inputs.length + (def.optional?.length ?? 0);
  const call = (...args: unknown[]): Tensor | readonly Tensor[] => {
    const inputs = args.slice(0, arity).map((x) => (x == null ? null : lift(x as TensorLike)));
    const node = applyOp(op as unknown as AnyOp, inputs, args[arity] ?? {});
    return node.outs.length === 1 ? outputOf(node) : node.outs.map((_, i) => outputOf(node, i));
  };
  const { name, ...rest } = def;
  const op = Object.assign(call, rest) as unknown as Op<Name, In, Opt, A, Out>;
  Object.defineProperty(op, 'name', { value: name });
  return op;
}
