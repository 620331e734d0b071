import { levelRange, type PackedAttrs, packedRow } from '@peftjs/tensor';
import type { Emitter, Value } from './emitter.ts';
import { range } from './shape.ts';
import { blocksOf, late, type Matrix, type Parts, pieces, unpackAll } from './unpack.ts';
import type { WholeMatrix } from './whole-products.ts';

/** [rows, 1]: what a code of each row can stand for at most. */
const reach = (g: Emitter, { scales, minima }: Matrix, attrs: PackedAttrs): Value => {
  const levels = levelRange(attrs);
  const abs = (x: Value): Value => g.node('Abs', [x], x.shape);
  const most = (x: Value): Value => g.node('ReduceMax', [x, g.ints([1])], [x.shape[0]!, 1], { keepdims: 1 });
  if (!minima) {
    const column = most(abs(scales));
    return g.node('Mul', [column, g.scalar(Math.fround(Math.max(...levels.map(Math.abs))))], column.shape);
  }
  const ends = levels.map((level) => {
    const scaled = g.node('Mul', [scales, g.scalar(Math.fround(level))], scales.shape);
    return most(abs(g.node('Sub', [scaled, minima], scales.shape)));
  });
  return g.node('Max', ends, ends[0]!.shape);
};

/**
 * A packed matrix as whole numbers, a step for each row: see `wholeRows` of `@peftjs/tensor`. They are made when `token` is there, in pieces that are unpacked one after another, so that neither they nor its floats wait for
 * their use.
 */
export const wholeRows = (g: Emitter, parts: Parts, attrs: PackedAttrs, token: Value): WholeMatrix => {
  const blocks = blocksOf(g, parts, attrs, token);
  const matrix: Matrix = { codes: parts.codes, high: parts.high ?? null, ...blocks };
  const column = [parts.codes.shape[0]!, 1];
  const most = g.node('Max', [reach(g, matrix, attrs), g.scalar(1e-30)], column);
  const scale = g.node('Mul', [most, g.scalar(Math.fround(1 / 127))], column);
  const perStep = g.node('Reciprocal', [scale], column);
  const inSteps = (x: Value): Value => g.node('Mul', [x, perStep], x.shape);
  const stepped: Matrix = {
    ...matrix,
    scales: inSteps(blocks.scales),
    minima: blocks.minima && inSteps(blocks.minima),
  };
  const made: Value[] = [];
  for (const { piece } of pieces(g, stepped, packedRow(attrs).blocks * attrs.block)) {
    const values = range(g, unpackAll(g, late(g, piece, made.at(-1) ?? token), attrs), 1, 0, attrs.inDim);
    made.push(g.node('QuantizeLinear', [values, g.scalar(1), g.constant([0], 'int8', [])], values.shape, {}, 'int8'));
  }
  const codes = made.length === 1 ? made[0]! : g.node('Concat', made, [column[0]!, attrs.inDim], { axis: 0 });
  return { codes, scale };
};
