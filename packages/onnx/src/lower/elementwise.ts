import { sameShape } from '@peftjs/tensor';
import type { Emitter, Value } from './emitter.ts';
import type { Rule } from './rule.ts';

type Unary = Rule<'x'>;
type Binary = Rule<'a' | 'b'>;

/** A value by value function of one tensor, made under whatever shape that has been reshaped from. */
const map = (g: Emitter, x: Value, make: (source: Value) => Value): Value => g.reshape(make(g.source(x)), x.shape);

/** An ONNX operator of one input that means the same; integers by way of double, as few of them have integer kernels. */
const unary =
  (type: string): Unary =>
  ({ g, x }) =>
    x.type === 'float'
      ? map(g, x, (s) => g.node(type, [s], s.shape))
      : g.cast(g.node(type, [g.cast(x, 'double')], x.shape), x.type);

/** An ONNX operator of two inputs that means the same. Equal shapes and scalars go by the shape of the operand that is a matrix. */
const binary =
  (type: string): Binary =>
  ({ g, a, b, out }) => {
    const isFull = (x: Value): boolean => sameShape(x.shape, out.shape);
    const full = [a, b].filter(isFull);
    const shape = full.map((x) => g.source(x).shape).find((s) => s.length === 2);
    if (!shape || ![a, b].every((x) => isFull(x) || x.shape.length === 0)) return g.node(type, [a, b], out.shape);
    const operands = [a, b].map((x) => (isFull(x) ? g.reshape(x, shape) : x));
    return g.reshape(g.node(type, operands, shape), out.shape);
  };

/** Truth as 1 or 0 in f32; u32 by way of int64, which every comparison has. */
const compare =
  (type: string): Binary =>
  ({ g, a, b, out }) => {
    const wide = a.type === 'uint32' ? [g.cast(a, 'int64'), g.cast(b, 'int64')] : [a, b];
    return g.fromTruth(g.node(type, wide, out.shape, {}, 'bool'), 'float');
  };

export const neg: Unary = unary('Neg');
export const abs: Unary = ({ g, x }) => g.node('Abs', [x], x.shape);
export const exp: Unary = unary('Exp');
export const log: Unary = unary('Log');
export const sqrt: Unary = unary('Sqrt');
export const rsqrt: Unary = ({ g, x }) => g.node('Reciprocal', [g.node('Sqrt', [x], x.shape)], x.shape);
export const sin: Unary = unary('Sin');
export const cos: Unary = unary('Cos');
export const tanh: Unary = unary('Tanh');
export const erf: Unary = unary('Erf');
export const sigmoid: Unary = unary('Sigmoid');
export const relu: Unary = unary('Relu');
export const sign: Unary = unary('Sign');
export const floor: Unary = unary('Floor');
export const is_finite: Unary = ({ g, x }) => {
  const [none, infinite] = ['IsNaN', 'IsInf'].map((type) => g.node(type, [x], x.shape, {}, 'bool')) as [Value, Value];
  return g.fromTruth(
    g.node('Not', [g.node('Or', [none, infinite], x.shape, {}, 'bool')], x.shape, {}, 'bool'),
    'float',
  );
};

/** x·σ(αx) with α = 1. */
export const silu: Unary = ({ g, x }) =>
  map(g, x, (s) => g.node('com.microsoft.QuickGelu', [s], s.shape, { alpha: { float: 1 } }));

export const gelu: Rule<'x', { readonly approximate?: 'tanh' | 'none' }> = ({ g, x }, { approximate = 'none' }) =>
  map(g, x, (s) => g.node('Gelu', [s], s.shape, { approximate }));

export const add: Binary = binary('Add');
export const sub: Binary = binary('Sub');
/** Gradients start with 1, which multiplies nothing. */
export const mul: Binary = (t) => {
  const [a, b] = [t.g.scalars.get(t.a.name), t.g.scalars.get(t.b.name)];
  if (a === 1 && sameShape(t.b.shape, t.out.shape)) return t.b;
  if (b === 1 && sameShape(t.a.shape, t.out.shape)) return t.a;
  return binary('Mul')(t, undefined);
};

export const div: Binary = binary('Div');
export const pow: Binary = binary('Pow');
export const maximum: Binary = binary('Max');
export const minimum: Binary = binary('Min');
export const equal: Binary = compare('Equal');
export const less: Binary = compare('Less');
export const less_equal: Binary = compare('LessOrEqual');
export const greater: Binary = compare('Greater');
export const greater_equal: Binary = compare('GreaterOrEqual');

/** ONNX has no kernel that chooses between u32 values: they travel as int64. */
export const select: Rule<'cond' | 'a' | 'b'> = ({ g, cond, a, b, out }) => {
  const type = a.type === 'uint32' ? 'int64' : a.type;
  return g.cast(g.where(g.truth(cond), g.cast(a, type), g.cast(b, type), out.shape), a.type);
};
