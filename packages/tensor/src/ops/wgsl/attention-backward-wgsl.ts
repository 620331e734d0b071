import {
  attentionLanes,
  declareSums,
  eachOwnRow,
  type RowRange,
  seesFunction,
  storeSums,
  storeTile,
  tileApply,
  tileDeclarations,
  tileProduct,
  tileSize,
} from './attention-tiles.ts';

/** What the text of a backward kernel depends on. */
export interface BackwardVariant {
  readonly own: number;
  readonly headDim: number;
  readonly causal: boolean;
  readonly masked: boolean;
}

/**
 * Per query row: logSumExp, and Σ dy·y, which is what softmax subtracts from every dScore; at the end the offset. One buffer for all three,
 * because eight storage buffers are all that a kernel can count on.
 */
export const rowStatsWgsl = (headDim: number, offset: boolean): string => `
@compute @workgroup_size(${attentionLanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group) * ${attentionLanes}u + lane;
  if (row == p.rows) { stats[2u * row] = f32(${offset ? 'offset[0]' : 'bitcast<i32>(p.shift)'}); }
  if (row >= p.rows) { return; }
  var pull = 0.0;
  for (var d = 0u; d < ${headDim}u; d++) { pull += y[row * ${headDim}u + d] * dy[row * ${headDim}u + d]; }
  stats[2u * row] = logSumExp[row];
  stats[2u * row + 1u] = pull;
}`;

const head = (own: number, { causal, masked }: BackwardVariant): string => `${tileDeclarations(own)}
${seesFunction(causal, masked)}
@compute @workgroup_size(${attentionLanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let unit = group_index(group);
  if (unit >= p.units) { return; }
  let row0 = (unit % p.blocks) * ${8 * own}u;
  let shift = i32(stats[2u * p.rows]);
  let tx = lane % 8u;
  let ty = lane / 8u;`;

const range = (buffer: string, side: 'query' | 'key', first: string): RowRange =>
  side === 'query' ? { buffer, base: 'qBase', first, end: 'p.queries' } : { buffer, base: 'kBase', first, end: 'p.keys' };

/** dq of a block of queries, as the keys stream by. */
export const queryGradWgsl = (variant: BackwardVariant): string => {
  const { own, headDim, causal } = variant;
  const queries = (buffer: string): RowRange => range(buffer, 'query', 'row0');
  const keys = (buffer: string): RowRange => range(buffer, 'key', 's0');
  return `${head(own, variant)}
  let head = unit / p.blocks;
  let b = head / p.heads;
  let qBase = head * p.queries * ${headDim}u;
  let kBase = (b * (p.heads / p.share) + (head % p.heads) / p.share) * p.keys * ${headDim}u;
  let keyEnd = ${causal ? `u32(clamp(i32(min(row0 + ${8 * own}u, p.queries)) + shift, 0, i32(p.keys)))` : 'p.keys'};
  let t0 = row0 + ty * ${own}u;
${eachOwnRow(own, (r) => `  let at${r} = 2u * (head * p.queries + min(t0 + ${r}u, p.queries - 1u));
  let logSum${r} = stats[at${r}];
  let pull${r} = stats[at${r} + 1u];`)}
${declareSums('sum', own, headDim)}
  for (var s0 = 0u; s0 < keyEnd; s0 += ${tileSize}u) {${tileProduct('w', own, queries('q'), keys('k'), headDim)}${tileProduct('g', own, queries('dy'), keys('v'), headDim)}
${eachOwnRow(own, (r) => `    let seen${r} = vec4<bool>(${[0, 8, 16, 24].map((c) => `sees(b, t0 + ${r}u, s0 + tx + ${c}u, shift)`).join(', ')});
    g${r} = select(vec4<f32>(), exp(w${r} * p.scale - logSum${r}) * (g${r} - pull${r}) * p.scale, seen${r});`)}
${storeTile('g', own)}${tileApply('sum', own, keys('k'), headDim)}
  }
${storeSums('sum', own, { ...queries('out0') }, headDim)}
}`;
};

/** dk and dv of a block of keys, as the queries of all heads that share it stream by. */
export const keyGradWgsl = (variant: BackwardVariant, dk: boolean, dv: boolean): string => {
  const { own, headDim, causal } = variant;
  const keys = (buffer: string): RowRange => range(buffer, 'key', 'row0');
  const queries = (buffer: string): RowRange => range(buffer, 'query', 't0');
  const columns = (index: number): string => `vec4<f32>(${[0, 8, 16, 24].map((c) => `stats[2u * (head * p.queries + min(t0 + tx + ${c}u, p.queries - 1u)) + ${index}u]`).join(', ')})`;
  return `${head(own, variant)}
  let keyHead = unit / p.blocks;
  let b = keyHead / (p.heads / p.share);
  let kBase = keyHead * p.keys * ${headDim}u;
  let queryStart = ${causal ? 'u32(clamp(i32(row0) - shift, 0, i32(p.queries)))' : '0u'};
  let s0 = row0 + ty * ${own}u;
${dk ? declareSums('dk', own, headDim) : ''}
${dv ? declareSums('dv', own, headDim) : ''}
  for (var head = keyHead * p.share; head < (keyHead + 1u) * p.share; head++) {
    let qBase = head * p.queries * ${headDim}u;
    for (var t0 = queryStart; t0 < p.queries; t0 += ${tileSize}u) {
      let logSum = ${columns(0)};${tileProduct('w', own, keys('k'), queries('q'), headDim)}
${eachOwnRow(own, (r) => `    let seen${r} = vec4<bool>(${[0, 8, 16, 24].map((c) => `sees(b, t0 + tx + ${c}u, s0 + ${r}u, shift)`).join(', ')});
    w${r} = select(vec4<f32>(), exp(w${r} * p.scale - logSum), seen${r});`)}
${dv ? `${storeTile('w', own)}${tileApply('dv', own, queries('dy'), headDim)}` : ''}
${
  dk
    ? `      let pull = ${columns(1)};${tileProduct('g', own, keys('v'), queries('dy'), headDim)}
${eachOwnRow(own, (r) => `    g${r} = w${r} * (g${r} - pull) * p.scale;`)}
${storeTile('g', own)}${tileApply('dk', own, queries('q'), headDim)}`
    : ''
}
    }
  }
${dk ? storeSums('dk', own, keys('out1'), headDim) : ''}
${dv ? storeSums('dv', own, keys('out2'), headDim) : ''}
}`;
};
