import { keyEnd, keyStart, keysOfLane, type ScoreVariant, scoreOf, seenBy } from './attention-forward.ts';
import { type AttentionTiles, keyRows, queryRows } from './attention-tiles.ts';

/** Lanes of the pass of row sums. */
export const statsLanes = 64;

const rowStart = (buffer: string): string => `${queryRows(buffer, '').base} + (row % p.queries) * p.${buffer}_row`;

/**
 * Per query row: logSumExp, and Σ dy·y, which is what softmax subtracts from every dScore; at the end the offset. One buffer for all three,
 * because eight storage buffers are all that a kernel can count on.
 */
export const rowStatsWgsl = (headDim: number, offset: boolean): string => `
@compute @workgroup_size(${statsLanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group) * ${statsLanes}u + lane;
  if (row == p.rows) { stats[2u * row] = f32(${offset ? 'offset[0]' : 'bitcast<i32>(p.shift)'}); }
  if (row >= p.rows) { return; }
  var pull = 0.0;
  let head = row / p.queries;
  let b = head / p.heads;
  let yAt = ${rowStart('y')};
  let dyAt = ${rowStart('dy')};
  for (var d = 0u; d < ${headDim}u; d++) { pull += y[yAt + d] * dy[dyAt + d]; }
  stats[2u * row] = logSumExp[row];
  stats[2u * row + 1u] = pull;
}`;

const head = ({ declarations, lanes, builtins, rows, place }: AttentionTiles): string => `${declarations}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32${builtins}) {
  let unit = group_index(group);
  if (unit >= p.units) { return; }
  let row0 = (unit % p.blocks) * ${rows}u;
  let shift = i32(stats[2u * p.rows]);${place}`;

/** WGSL of the factor that the cap of a score gives its gradient. */
const slopeOf = (score: string): string => `(1.0 - ${score} / p.cap * (${score} / p.cap))`;

/** dq of a block of queries, as the keys stream by. */
export const queryGradWgsl = (tiles: AttentionTiles, variant: ScoreVariant): string => {
  const { own, rows, tileSize, eachRow } = tiles;
  return `${head(tiles)}
  let head = unit / p.blocks;
  let b = head / p.heads;
  let keyGroup = (head % p.heads) / p.share;
  let end = ${keyEnd(rows, variant)};
  let t0 = row0 + ty * ${own}u;
  var logSum = array<f32, ${own}>();
  var pull = array<f32, ${own}>();${eachRow(
    (r) => `
    let at = 2u * (head * p.queries + min(t0 + ${r}, p.queries - 1u));
    logSum[${r}] = stats[at];
    pull[${r}] = stats[at + 1u];`,
  )}${tiles.declareSums('sum')}
  for (var s0 = ${keyStart(variant)}; s0 < end; s0 += ${tileSize}u) {${tiles.product('w', queryRows('q', 'row0'), keyRows('k', 's0'))}${tiles.product('g', queryRows('dy', 'row0'), keyRows('v', 's0'))}${keysOfLane(variant.masked)}${eachRow(
    (r) =>
      `let score = ${scoreOf(`w[${r}]`, variant)};
      g[${r}] = select(vec4<f32>(), exp(score - logSum[${r}]) * (g[${r}] - pull[${r}])${variant.capped ? ` * ${slopeOf('score')}` : ''} * p.scale, ${seenBy(`t0 + ${r}`, variant)});`,
  )}${tiles.apply('sum', 'g', keyRows('k', 's0'))}
  }${tiles.storeSums('sum', queryRows('out0', 'row0'))}
}`;
};

/** dk and dv of a block of keys, as the queries of all heads that share it stream by. */
export const keyGradWgsl = (tiles: AttentionTiles, variant: ScoreVariant, dk: boolean, dv: boolean): string => {
  const { causal, masked, windowed, capped } = variant;
  const { own, rows, tileSize, eachRow } = tiles;
  const statsAt = (index: number): string =>
    `vec4<f32>(${['x', 'y', 'z', 'w'].map((c) => `stats[at.${c}${index > 0 ? ` + ${index}u` : ''}]`).join(', ')})`;
  const seen = (r: string): string =>
    `(t4 < vec4<u32>(p.queries))${causal ? ` & (vec4<i32>(t4) + shift >= vec4<i32>(i32(s0 + ${r})))` : ''}${windowed ? ` & (vec4<i32>(t4) + shift < vec4<i32>(i32(s0 + ${r} + p.window)))` : ''}${masked ? ` & vec4<bool>(keyMask[b * p.keys + min(s0 + ${r}, p.keys - 1u)] > 0.5)` : ''}`;
  return `${head(tiles)}
  let keyHead = unit / p.blocks;
  let b = keyHead / (p.heads / p.share);
  let keyGroup = keyHead % (p.heads / p.share);
  let start = ${causal ? 'u32(clamp(i32(row0) - shift, 0, i32(p.queries)))' : '0u'};
  let end = ${windowed ? `u32(clamp(i32(row0 + ${rows}u + p.window) - 1 - shift, 0, i32(p.queries)))` : 'p.queries'};
  let s0 = row0 + ty * ${own}u;${dk ? tiles.declareSums('dk') : ''}${dv ? tiles.declareSums('dv') : ''}
  for (var head = keyHead * p.share; head < (keyHead + 1u) * p.share; head++) {
  for (var t0 = start; t0 < end; t0 += ${tileSize}u) {
  let t4 = vec4<u32>(t0 + tx * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
  let at = 2u * (head * p.queries + min(t4, vec4<u32>(p.queries - 1u)));
  let logSum = ${statsAt(0)};${tiles.product('w', keyRows('k', 'row0'), queryRows('q', 't0'))}${
    capped && dk
      ? `
  var slope = array<vec4<f32>, ${own}>();`
      : ''
  }${eachRow(
    (r) =>
      `let score = ${scoreOf(`w[${r}]`, variant)};${capped && dk ? ` slope[${r}] = ${slopeOf('score')};` : ''}
      w[${r}] = select(vec4<f32>(), exp(score - logSum), ${seen(r)});`,
  )}${dv ? tiles.apply('dv', 'w', queryRows('dy', 't0')) : ''}${
    dk
      ? `
  let pull = ${statsAt(1)};${tiles.product('g', keyRows('v', 'row0'), queryRows('dy', 't0'))}${eachRow((r) => `g[${r}] = w[${r}] * (g[${r}] - pull)${capped ? ` * slope[${r}]` : ''} * p.scale;`)}${tiles.apply('dk', 'g', queryRows('q', 't0'))}`
      : ''
  }
  }
  }${dk ? tiles.storeSums('dk', keyRows('out1', 'row0')) : ''}${dv ? tiles.storeSums('dv', keyRows('out2', 'row0')) : ''}
}`;
};
