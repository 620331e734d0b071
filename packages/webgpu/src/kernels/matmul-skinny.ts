import type { MatmulVariant } from './matmul-problem.ts';
import { times } from './times.ts';

const lanes = 64;

/** Sizes of the short side that the variant takes. */
export const skinnyLimit = 16;

/** Which side is long, how it is stored, and the size of the short one. */
export interface Skinny {
  readonly long: 'm' | 'n';
  /** Whether neighbouring depths of the long side are neighbours in memory. */
  readonly contiguousDepth: boolean;
  readonly short: number;
}

/** The names in a kernel of a product with a short side. */
export interface SkinnyNames {
  /** The long side, and the short one. */
  readonly x: 'a' | 'b';
  readonly y: 'a' | 'b';
  /** Of the long axis: the unit's first item, and the end. */
  readonly first: string;
  readonly end: string;
  /** The end of the short axis. */
  readonly last: string;
  /** Items of the short axis that the text is unrolled for. */
  readonly width: number;
}

/** By which side is long, and the size of the short one. */
export const skinnyNames = ({ long, short }: Pick<Skinny, 'long' | 'short'>): SkinnyNames => {
  const width = [1, 2, 4, 8, 16].find((w) => w >= short)!;
  return long === 'm'
    ? { x: 'a', y: 'b', first: 'm0', end: 'rows', last: 'p.n', width }
    : { x: 'b', y: 'a', first: 'n0', end: 'p.n', last: 'rows', width };
};

/**
 * For products with at most 16 rows or columns (low-rank factors, one token at a time): the lanes of a workgroup share the depth,
 * each element of the long side is read once, and partial sums are joined in workgroup memory in a fixed order.
 */
export const skinnyVariant = ({ long, contiguousDepth, short }: Skinny): MatmulVariant => {
  const { x, y, first, end, last, width } = skinnyNames({ long, short });
  const shares = contiguousDepth ? 16 : 4;
  const items = lanes / shares;
  const stepOf = (side: 'a' | 'b', axis: 'item' | 'depth'): string =>
    (side === 'a') === (axis === 'item') ? `p.${side}Row` : `p.${side}Column`;
  const [m, n] = long === 'm' ? [`${first} + i`, 's'] : ['s', `${first} + i`];
  return {
    name: 'skinny',
    rows: long === 'm' ? items : width,
    columns: long === 'm' ? width : items,
    perGroup: 1,
    lanes,
    declarations: `var<workgroup> sums: array<f32, ${lanes * width}>;`,
    body: `
  let item = ${contiguousDepth ? `lane / ${shares}u` : `lane % ${items}u`};
  let share = ${contiguousDepth ? `lane % ${shares}u` : `lane / ${items}u`};
  let x = ${x}Base + min(${first} + item, ${end} - 1u) * ${stepOf(x, 'item')};
${times(width, (s) => `  let y${s} = ${y}Base + min(${s}u, ${last} - 1u) * ${stepOf(y, 'item')};\n  var c${s} = 0.0;`).join('\n')}
  for (var k = k0 + share; k < k1; k += ${shares}u) {
    let value = at_${x}(x + k * ${stepOf(x, 'depth')});
    let step = k * ${stepOf(y, 'depth')};
${times(width, (s) => `    c${s} += value * at_${y}(y${s} + step);`).join('\n')}
  }
${times(width, (s) => `  sums[(item * ${width}u + ${s}u) * ${shares}u + share] = c${s};`).join('\n')}
  workgroupBarrier();
  for (var j = lane; j < ${items * width}u; j += ${lanes}u) {
    let i = j / ${width}u;
    let s = j % ${width}u;
    var total = 0.0;
    for (var share = 0u; share < ${shares}u; share++) { total += sums[j * ${shares}u + share]; }
    if (${first} + i < ${end} && s < ${last}) { store(outBase, ${m}, ${n}, total); }
  }`,
  };
};
