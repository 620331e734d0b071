import { dynamicMap, sizeOf, stateBlock } from '@peftjs/tensor';
import { middlesOf, unsignedDynamicMap } from '@peftjs/tensor/executor';
import { adamwStep } from './adamw-step.ts';
import type { ConstantType, Emitter, Value } from './emitter.ts';
import type { Rule } from './rule.ts';
import { range } from './shape.ts';

/** The context of a step over blocks. */
interface Blocks {
  readonly g: Emitter;
  readonly size: number;
  readonly blocks: number;
}

/** Values as a matrix with a row for each block, `rest` at the end. */
const rows = ({ g, size, blocks }: Blocks, x: Value, rest = 0): Value => {
  const flat = g.reshape(x, [size]);
  const more = blocks * stateBlock - size;
  const whole =
    more === 0 ? flat : g.node('Pad', [flat, g.ints([0, more]), g.scalar(rest, x.type as ConstantType)], [size + more]);
  return g.reshape(whole, [blocks, stateBlock]);
};

/** The other way. */
const flat = ({ g, size, blocks }: Blocks, x: Value, shape: readonly number[]): Value => {
  const all = g.reshape(x, [blocks * stateBlock]);
  return g.reshape(range(g, all, 0, 0, size), shape);
};

const unpack = (of: Blocks, codes: Value, scale: Value, levels: readonly number[]): Value => {
  const { g, blocks } = of;
  const shape = [blocks, stateBlock];
  const level = g.node(
    'Gather',
    [g.constant(levels, 'float'), g.cast(rows(of, codes, levels.indexOf(0)), 'int32')],
    shape,
    {},
    'float',
  );
  return g.node('Mul', [level, g.reshape(scale, [blocks, 1])], shape);
};

/** The nearest codes, by a search for the number of middles that lie below, and each row's largest magnitude. */
const pack = ({ g, blocks }: Blocks, x: Value, levels: readonly number[]): { codes: Value; scale: Value } => {
  const { shape } = x;
  const scale = g.node('ReduceMax', [g.node('Abs', [x], shape), g.ints([1])], [blocks, 1], { keepdims: 1 });
  const isAny = g.node('Greater', [scale, g.scalar(0)], [blocks, 1], {}, 'bool');
  const inverse = g.where(isAny, g.node('Reciprocal', [scale], [blocks, 1]), g.scalar(0), [blocks, 1]);
  const share = g.node('Mul', [x, inverse], shape);
  const middles = g.constant(middlesOf(levels), 'float');
  let codes = g.node('Expand', [g.scalar(0, 'int32'), g.ints(shape)], shape);
  for (let bit = 128; bit > 0; bit >>= 1) {
    const middle = g.node(
      'Gather',
      [middles, g.node('Add', [codes, g.scalar(bit - 1, 'int32')], shape)],
      shape,
      {},
      'float',
    );
    const above = g.node('Less', [middle, share], shape, {}, 'bool');
    codes = g.where(above, g.node('Add', [codes, g.scalar(bit, 'int32')], shape), codes, shape);
  }
  return { codes: g.cast(codes, 'uint8'), scale: g.reshape(scale, [blocks]) };
};

/** One step, as the record defines it; the cpu executor does most steps on the host instead (cpu/adamw8bit.ts). */
export const adamw8bit: Rule<'weight' | 'grad' | 'm' | 'v' | 'mScale' | 'vScale' | 'hyper'> = ({
  g,
  weight,
  grad,
  m,
  v,
  mScale,
  vScale,
  hyper,
}) => {
  const size = sizeOf(weight.shape);
  const before = [weight, m, v, mScale, vScale];
  if (size === 0) return before.map((x) => g.node('Identity', [x], x.shape));
  const of: Blocks = { g, size, blocks: mScale.shape[0]! };
  const [m0, v0] = [unpack(of, m, mScale, dynamicMap), unpack(of, v, vScale, unsignedDynamicMap)];
  const { weight1, m1, v1, moves } = adamwStep({
    g,
    weight: rows(of, weight),
    grad: rows(of, grad),
    m: m0,
    v: v0,
    hyper,
  });
  const [packedM, packedV] = [pack(of, m1, dynamicMap), pack(of, v1, unsignedDynamicMap)];
  const codes = ({ codes: x }: { readonly codes: Value }): Value => flat(of, x, weight.shape);
  const now = [flat(of, weight1, weight.shape), codes(packedM), codes(packedV), packedM.scale, packedV.scale];
  return now.map((x, i) => g.where(moves, x, before[i]!, x.shape));
};
