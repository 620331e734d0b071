import { type AttentionTiles, type RowRange, storeFour, type TileSizes, whole } from './attention-tiles.ts';
import { times } from './times.ts';

/** Four values of a row from element `at` on. */
const four = (buffer: string, at: string, headDim: number): string =>
  whole(headDim) ? `${buffer}[(${at}) / 4u]` : `vec4<f32>(${times(4, (c) => `${buffer}[${at} + ${c}u]`).join(', ')})`;

/** Declares `name`: where a row begins. Rows beyond the end repeat the last one; who uses them leaves them out. */
const declareRow = (name: string, { buffer, base, first, end }: RowRange, offset: string): string =>
  `let ${name} = ${base} + min(${first} + ${offset}, ${end} - 1u) * p.${buffer}_row;`;

/**
 * Tiles for CPU adapters with subgroups, without workgroup memory and barriers, where a load costs as much as a dozen multiplications: the
 * lanes share the other side, each loads some elements of the owned one, and `subgroupBroadcast` gives them to all. All that indexes an
 * array is a constant in the text, so that sums stay in registers.
 */
export const subgroupTiles = ({ own, headDim }: TileSizes, lanes: number): AttentionTiles => {
  const width = 4 * lanes;
  const pieces = Math.ceil(headDim / width);
  const bands = Math.ceil(own / lanes);
  const eachRow = (statement: (r: string) => string): string =>
    times(own, (r) => `\n  { ${statement(`${r}u`)} }`).join('');
  /** The products of four values of headDim; those beyond its end are zero. */
  const productStep = (name: string, x: RowRange, y: RowRange): string => {
    const rest = (value: string): string =>
      whole(headDim)
        ? value
        : `select(vec4<f32>(), ${value}, vec4<u32>(d, d + 1u, d + 2u, d + 3u) < vec4<u32>(${headDim}u))`;
    return `
${times(bands, (i) => `    let x${i} = ${rest(four(x.buffer, `own${i} + d`, headDim))};`).join('\n')}
${times(4, (c) => `    let y${c} = ${rest(four(y.buffer, `other${c} + d`, headDim))};`).join('\n')}
${times(4, (c) => `    let z${c} = vec4<f32>(${times(4, (i) => `y${i}[${c}]`).join(', ')});`).join('\n')}
${times(own, (r) => `    { let x = subgroupBroadcast(x${Math.floor(r / lanes)}, ${r % lanes}u); ${name}[${r}] += x.x * z0 + x.y * z1 + x.z * z2 + x.w * z3; }`).join('\n')}`;
  };
  return {
    own,
    lanes,
    rows: own,
    tileSize: width,
    declarations: 'enable subgroups;',
    builtins: ', @builtin(subgroup_invocation_id) tx: u32',
    place: `
  let ty = 0u;`,
    eachRow,
    shareRows: () => '',
    joinRow: (into, op, r, value) =>
      op === 'max' ? `${into} = max(${into}, subgroupMax(${value(r)}));` : `${into} += subgroupAdd(${value(r)});`,
    product: (name, x, y) => `
  var ${name} = array<vec4<f32>, ${own}>();
  {
${times(bands, (i) => `    ${declareRow(`own${i}`, x, `${i * lanes}u + tx`)}`).join('\n')}
${times(4, (c) => `    ${declareRow(`other${c}`, y, `tx * 4u + ${c}u`)}`).join('\n')}
    for (var d = 0u; d < ${headDim}u; d += 4u) {${productStep(name, x, y)}
    }
  }`,
    declareSums: (name) => `
  var ${name} = array<vec4<f32>, ${own * pieces}>();`,
    scaleSums: (name, r, factor) => times(pieces, (i) => `${name}[${r} * ${pieces}u + ${i}u] *= ${factor};`).join(' '),
    apply: (name, weights, y) =>
      times(
        lanes,
        (j) => `
  {
${times(4, (c) => `    ${declareRow(`other${c}`, y, `${4 * j + c}u`)}`).join('\n')}
${times(pieces, (i) => times(4, (c) => `    let y${i}_${c} = ${four(y.buffer, `other${c} + min(${i * width}u + tx * 4u, ${Math.max(0, headDim - 1) & ~3}u)`, headDim)};`).join('\n')).join('\n')}
${times(own, (r) => `    { let x = subgroupBroadcast(${weights}[${r}], ${j}u); ${times(pieces, (i) => `${name}[${r * pieces + i}] += x.x * y${i}_0 + x.y * y${i}_1 + x.z * y${i}_2 + x.w * y${i}_3;`).join(' ')} }`).join('\n')}
  }`,
      ).join(''),
    storeSums: (name, { buffer, base, first, end }) =>
      eachRow(
        (r) => `
    let row = ${first} + ${r};
    if (row < ${end}) {${times(
      pieces,
      (i) => `
      {
        let d = ${i * width}u + tx * 4u;
        let at = ${base} + row * p.${buffer}_row + d;
        let value = ${name}[${r} * ${pieces}u + ${i}u];
        if (d < ${headDim}u) { ${storeFour(buffer, headDim)} }
      }`,
    ).join('')}
    }`,
      ),
  };
};
