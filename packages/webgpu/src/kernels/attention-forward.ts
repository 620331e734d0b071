import { type AttentionAttrs, attentionSizes } from '@peftjs/tensor/executor';
import { attentionTiles } from './attention-choice.ts';
import { type AttentionTiles, keyRows, queryRows, rowParams, rowsBinding } from './attention-tiles.ts';
import type { KernelFor } from './kernel-for.ts';
import { lowest } from './rows.ts';

/** The parts of the scores that a text depends on. */
export interface ScoreVariant {
  readonly causal: boolean;
  readonly windowed: boolean;
  readonly capped: boolean;
  readonly masked: boolean;
}

interface Variant extends ScoreVariant {
  readonly offset: boolean;
  readonly out: boolean;
  readonly logSumExp: boolean;
}

/** Four keys of the tile: their positions, and which of them any query may see. */
export const keysOfLane = (masked: boolean): string => `
  let s4 = vec4<u32>(s0 + tx * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
  let kept = (s4 < vec4<u32>(p.keys))${
    masked
      ? ` & (vec4<f32>(${['x', 'y', 'z', 'w'].map((c) => `keyMask[b * p.keys + min(s4.${c}, p.keys - 1u)]`).join(', ')}) > vec4<f32>(0.5))`
      : ''
  };`;

/** The variant of attributes and inputs. */
export const scoreVariant = ({ causal, window, softCap }: AttentionAttrs, masked: boolean): ScoreVariant => ({
  causal,
  windowed: window !== undefined,
  capped: softCap !== undefined,
  masked,
});

/** The parameters of the scores. */
export const scoreParams = ({ scale, window, softCap }: AttentionAttrs): Record<string, number | { f32: number }> => ({
  scale: { f32: scale },
  ...(window !== undefined && { window: Math.min(window, 0x3fffffff) }),
  ...(softCap !== undefined && { cap: { f32: softCap } }),
});

/** WGSL of the scores of four products: scaled, and within the cap. Beyond 15 tanh is ±1 in f32, and some drivers make NaN of it. */
export const scoreOf = (product: string, { capped }: ScoreVariant): string =>
  capped
    ? `(p.cap * tanh(clamp(${product} * (p.scale / p.cap), vec4<f32>(-15.0), vec4<f32>(15.0))))`
    : `${product} * p.scale`;

/** WGSL of which of the lane's four keys query `t` sees. */
export const seenBy = (t: string, { causal, windowed }: ScoreVariant): string =>
  causal
    ? `kept & (vec4<i32>(s4) <= vec4<i32>(i32(${t}) + shift))${windowed ? ` & (vec4<i32>(s4) > vec4<i32>(i32(${t}) + shift - i32(p.window)))` : ''}`
    : 'kept';

/** WGSL of the first key that any query from `row0` on sees. */
export const keyStart = ({ windowed }: ScoreVariant): string =>
  windowed ? 'u32(clamp(i32(row0) + shift + 1 - i32(p.window), 0, i32(p.keys)))' : '0u';

/** WGSL of the end of the keys that a block of `rows` queries sees. */
export const keyEnd = (rows: number, { causal }: ScoreVariant): string =>
  causal ? `u32(clamp(i32(min(row0 + ${rows}u, p.queries)) + shift, 0, i32(p.keys)))` : 'p.keys';

const wgslOf = (tiles: AttentionTiles, variant: Variant): string => {
  const { masked, offset, out, logSumExp } = variant;
  const { own, lanes, rows, tileSize, declarations, builtins, place, eachRow } = tiles;
  const largest = (r: string): string => `max(max(w[${r}].x, w[${r}].y), max(w[${r}].z, w[${r}].w))`;
  const mass = (r: string): string => `total[${r}]`;
  return `${declarations}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32${builtins}) {
  let unit = group_index(group);
  if (unit >= p.units) { return; }
  let row0 = (unit % p.blocks) * ${rows}u;
  let head = unit / p.blocks;
  let b = head / p.heads;
  let keyGroup = (head % p.heads) / p.share;
  let shift = ${offset ? 'offset[0]' : 'i32(p.keys) - i32(p.queries)'};
  let end = ${keyEnd(rows, variant)};${place}
  let t0 = row0 + ty * ${own}u;
  // Of each own row: the running maximum, and this lane's part of the running sum of exponentials.
  var top = array<f32, ${own}>();
  var total = array<f32, ${own}>();${eachRow((r) => `top[${r}] = ${lowest};`)}${tiles.declareSums('sum')}
  for (var s0 = ${keyStart(variant)}; s0 < end; s0 += ${tileSize}u) {${tiles.product('w', queryRows('q', 'row0'), keyRows('k', 's0'))}${keysOfLane(masked)}${eachRow((r) => `w[${r}] = select(vec4<f32>(${lowest}), ${scoreOf(`w[${r}]`, variant)}, ${seenBy(`t0 + ${r}`, variant)});`)}${tiles.shareRows(largest)}${eachRow(
    (r) => `
    var next = top[${r}];
    ${tiles.joinRow('next', 'max', r, largest)}
    let fade = exp(top[${r}] - next);
    w[${r}] = select(vec4<f32>(), exp(w[${r}] - next), w[${r}] > vec4<f32>(${lowest}));
    total[${r}] = total[${r}] * fade + w[${r}].x + w[${r}].y + w[${r}].z + w[${r}].w;
    top[${r}] = next;
    ${tiles.scaleSums('sum', r, 'fade')}`,
  )}${tiles.apply('sum', 'w', keyRows('v', 's0'))}
  }${tiles.shareRows(mass)}${eachRow(
    (r) => `
    var mass = 0.0;
    ${tiles.joinRow('mass', 'sum', r, mass)}
    ${out ? tiles.scaleSums('sum', r, 'select(0.0, 1.0 / mass, mass > 0.0)') : ''}
    ${logSumExp ? `if (tx == 0u && t0 + ${r} < p.queries) { out1[head * p.queries + t0 + ${r}] = select(0.0, top[${r}] + log(mass), mass > 0.0); }` : ''}`,
  )}${out ? tiles.storeSums('sum', queryRows('out0', 'row0')) : ''}
}`;
};

/** Forward attention: one workgroup per batch, head and block of queries; keys stream through workgroup memory in tiles. */
export const attentionKernel: KernelFor<'attention'> = {
  kind: 'dispatch',
  strided: ['q', 'k', 'v', 'out0'],
  plan: (io, attrs, device) => {
    const { inputs, outs } = io;
    const { batch, heads, groups, queries, keys, headDim } = attentionSizes(inputs);
    const tiles = attentionTiles(queries, headDim, 1, device);
    const blocks = Math.ceil(queries / tiles.rows);
    const units = batch * heads * blocks;
    const [masked, offset, out, logSumExp] = [
      inputs.keyMask !== undefined,
      attrs.causal && inputs.offset !== undefined,
      !!outs[0],
      !!outs[1],
    ];
    return {
      dispatches: [
        {
          label: 'attention',
          wgsl: wgslOf(tiles, { ...scoreVariant(attrs, masked), offset, out, logSumExp }),
          bindings: [
            ...['q', 'k', 'v'].map((buffer) => rowsBinding(buffer, 'read', headDim)),
            ...(masked ? [{ buffer: 'keyMask', access: 'read', element: 'f32' } as const] : []),
            ...(offset ? [{ buffer: 'offset', access: 'read', element: 'i32' } as const] : []),
            ...(out ? [rowsBinding('out0', 'read_write', headDim)] : []),
            ...(logSumExp ? [{ buffer: 'out1', access: 'read_write', element: 'f32' } as const] : []),
          ],
          params: {
            units,
            blocks,
            heads,
            share: groups === 0 ? 1 : heads / groups,
            queries,
            keys,
            ...scoreParams(attrs),
            ...rowParams('q', inputs.q!, io),
            ...rowParams('k', inputs.k!, io),
            ...rowParams('v', inputs.v!, io),
            ...(out && rowParams('out0', inputs.q!, io)),
          },
          workgroups: units,
        },
      ],
    };
  },
};
