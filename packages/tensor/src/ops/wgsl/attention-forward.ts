import type { Kernel } from '../../kernel.ts';
import { type AttentionAttrs, attentionSizes } from '../attention-spec.ts';
import {
  attentionLanes,
  declareSums,
  keyRows,
  queryRows,
  rowParams,
  rowsBinding,
  scaleSums,
  storeSums,
  type TileSizes,
  tileApply,
  tileDeclarations,
  tileProduct,
  tileSize,
} from './attention-tiles.ts';
import { lowest } from './rows.ts';

interface Variant extends TileSizes {
  readonly causal: boolean;
  readonly masked: boolean;
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

/** WGSL of which of the lane's four keys query `t` sees. */
export const seenBy = (t: string, causal: boolean): string =>
  causal ? `kept & (vec4<i32>(s4) <= vec4<i32>(i32(${t}) + shift))` : 'kept';

/** WGSL of the end of the keys that a block of queries sees. */
export const keyEnd = (own: number, causal: boolean): string =>
  causal ? `u32(clamp(i32(min(row0 + ${8 * own}u, p.queries)) + shift, 0, i32(p.keys)))` : 'p.keys';

const wgslOf = (variant: Variant): string => {
  const { own, causal, masked, offset, out, logSumExp } = variant;
  const eachRow = `for (var r = 0u; r < ${own}u; r++)`;
  return `${tileDeclarations(variant)}
@compute @workgroup_size(${attentionLanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let unit = group_index(group);
  if (unit >= p.units) { return; }
  let row0 = (unit % p.blocks) * ${8 * own}u;
  let head = unit / p.blocks;
  let b = head / p.heads;
  let keyGroup = (head % p.heads) / p.share;
  let shift = ${offset ? 'offset[0]' : 'i32(p.keys) - i32(p.queries)'};
  let end = ${keyEnd(own, causal)};
  let tx = lane % 8u;
  let ty = lane / 8u;
  let t0 = row0 + ty * ${own}u;
  // Of each own row: the running maximum, and this lane's part of the running sum of exponentials.
  var top = array<f32, ${own}>();
  var total = array<f32, ${own}>();
  ${eachRow} { top[r] = ${lowest}; }${declareSums('sum', variant)}
  for (var s0 = 0u; s0 < end; s0 += ${tileSize}u) {${tileProduct('w', variant, queryRows('q', 'row0'), keyRows('k', 's0'))}${keysOfLane(masked)}
  ${eachRow} {
    w[r] = select(vec4<f32>(${lowest}), w[r] * p.scale, ${seenBy('t0 + r', causal)});
    joined[(ty * ${own}u + r) * 8u + tx] = max(max(w[r].x, w[r].y), max(w[r].z, w[r].w));
  }
  workgroupBarrier();
  ${eachRow} {
    var next = top[r];
    for (var i = 0u; i < 8u; i++) { next = max(next, joined[(ty * ${own}u + r) * 8u + i]); }
    let fade = exp(top[r] - next);
    w[r] = select(vec4<f32>(), exp(w[r] - next), w[r] > vec4<f32>(${lowest}));
    total[r] = total[r] * fade + w[r].x + w[r].y + w[r].z + w[r].w;
    top[r] = next;
    ${scaleSums('sum', variant, 'fade')}
  }${tileApply('sum', 'w', variant, keyRows('v', 's0'))}
  }
  ${eachRow} { joined[(ty * ${own}u + r) * 8u + tx] = total[r]; }
  workgroupBarrier();
  ${eachRow} {
    var mass = 0.0;
    for (var i = 0u; i < 8u; i++) { mass += joined[(ty * ${own}u + r) * 8u + i]; }
    ${out ? scaleSums('sum', variant, 'select(0.0, 1.0 / mass, mass > 0.0)') : ''}
    ${logSumExp ? 'if (tx == 0u && t0 + r < p.queries) { out1[head * p.queries + t0 + r] = select(0.0, top[r] + log(mass), mass > 0.0); }' : ''}
  }${out ? storeSums('sum', variant, queryRows('out0', 'row0')) : ''}
}`;
};

/** Rows per lane: few where there are few queries, or where sums would not fit registers. */
const ownRows = (queries: number, headDim: number): number => (queries <= 8 ? 1 : headDim <= 128 ? 4 : 2);

/** Forward attention: one workgroup per batch, head and block of queries; keys stream through workgroup memory in tiles. */
export const attentionKernel: Kernel<'q' | 'k' | 'v' | 'keyMask' | 'offset', AttentionAttrs> = {
  kind: 'dispatch',
  strided: ['q', 'k', 'v', 'out0'],
  plan: (io, { causal, scale }) => {
    const { inputs, outs } = io;
    const { batch, heads, groups, queries, keys, headDim } = attentionSizes(inputs);
    const own = ownRows(queries, headDim);
    const blocks = Math.ceil(queries / (8 * own));
    const units = batch * heads * blocks;
    const [masked, offset, out, logSumExp] = [
      inputs.keyMask !== undefined,
      causal && inputs.offset !== undefined,
      !!outs[0],
      !!outs[1],
    ];
    return {
      dispatches: [
        {
          label: 'attention',
          wgsl: wgslOf({ own, headDim, causal, masked, offset, out, logSumExp }),
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
            scale: { f32: scale },
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
