import type { Kernel } from '../../kernel.ts';
import { type AttentionAttrs, attentionSizes } from '../attention-spec.ts';
import {
  attentionLanes,
  declareSums,
  eachOwnRow,
  scaleSums,
  seesFunction,
  storeSums,
  storeTile,
  tileApply,
  tileDeclarations,
  tileProduct,
  tileSize,
} from './attention-tiles.ts';
import { lowest } from './rows.ts';

const lanesOf = (name: string, op: (a: string, b: string) => string, r: number, own: number): string =>
  Array.from({ length: 7 }, (_, i) => `${name}[(ty * ${own}u + ${r}u) * 8u + ${i + 1}u]`).reduce(op, `${name}[(ty * ${own}u + ${r}u) * 8u]`);

/** Per own row: the running maximum `top`, this lane's part `total` of the running sum, and the factor that brings both up to date. */
const streamingSoftmax = (own: number): string => `
${eachOwnRow(own, (r) => `    let seen${r} = vec4<bool>(${[0, 8, 16, 24].map((c) => `sees(b, t0 + ${r}u, s0 + tx + ${c}u, shift)`).join(', ')});
    w${r} = select(vec4<f32>(${lowest}), w${r} * p.scale, seen${r});
    joined[(ty * ${own}u + ${r}u) * 8u + tx] = max(max(w${r}.x, w${r}.y), max(w${r}.z, w${r}.w));`)}
    workgroupBarrier();
${eachOwnRow(own, (r) => `    let next${r} = max(top${r}, ${lanesOf('joined', (a, b) => `max(${a}, ${b})`, r, own)});
    let fade${r} = exp(top${r} - next${r});
    w${r} = select(vec4<f32>(), exp(w${r} - next${r}), seen${r});
    total${r} = total${r} * fade${r} + w${r}.x + w${r}.y + w${r}.z + w${r}.w;
    top${r} = next${r};`)}`;

interface Variant {
  readonly own: number;
  readonly headDim: number;
  readonly causal: boolean;
  readonly masked: boolean;
  readonly offset: boolean;
  readonly out: boolean;
  readonly logSumExp: boolean;
}

const wgslOf = ({ own, headDim, causal, masked, offset, out, logSumExp }: Variant): string => {
  const queries = { buffer: 'q', base: 'qBase', first: 'row0', end: 'p.queries' };
  const keys = { buffer: 'k', base: 'kBase', first: 's0', end: 'p.keys' };
  const keyEnd = causal ? 'u32(clamp(i32(min(row0 + ROWSu, p.queries)) + shift, 0, i32(p.keys)))'.replace('ROWS', `${8 * own}`) : 'p.keys';
  return `${tileDeclarations(own)}
${seesFunction(causal, masked)}
@compute @workgroup_size(${attentionLanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let unit = group_index(group);
  if (unit >= p.units) { return; }
  let row0 = (unit % p.blocks) * ${8 * own}u;
  let head = unit / p.blocks;
  let b = head / p.heads;
  let qBase = head * p.queries * ${headDim}u;
  let kBase = (b * (p.heads / p.share) + (head % p.heads) / p.share) * p.keys * ${headDim}u;
  let shift = ${offset ? 'offset[0]' : 'i32(p.keys) - i32(p.queries)'};
  let keyEnd = ${keyEnd};
  let tx = lane % 8u;
  let ty = lane / 8u;
  let t0 = row0 + ty * ${own}u;
${eachOwnRow(own, (r) => `  var top${r} = ${lowest};\n  var total${r} = 0.0;`)}
${declareSums('sum', own, headDim)}
  for (var s0 = 0u; s0 < keyEnd; s0 += ${tileSize}u) {${tileProduct('w', own, queries, keys, headDim)}${streamingSoftmax(own)}
${scaleSums('sum', own, headDim, 'fade')}
${storeTile('w', own)}${tileApply('sum', own, { ...keys, buffer: 'v' }, headDim)}
  }
${eachOwnRow(own, (r) => `  joined[(ty * ${own}u + ${r}u) * 8u + tx] = total${r};`)}
  workgroupBarrier();
${eachOwnRow(own, (r) => `  let mass${r} = ${lanesOf('joined', (a, c) => `${a} + ${c}`, r, own)};
  let norm${r} = select(0.0, 1.0 / mass${r}, mass${r} > 0.0);`)}
${out ? `${scaleSums('sum', own, headDim, 'norm')}\n${storeSums('sum', own, { ...queries, buffer: 'out0' }, headDim)}` : ''}
${logSumExp ? eachOwnRow(own, (r) => `  if (tx == 0u && t0 + ${r}u < p.queries) { out1[head * p.queries + t0 + ${r}u] = select(0.0, top${r} + log(mass${r}), mass${r} > 0.0); }`) : ''}
}`;
};

/** Rows per lane: few where there are few queries, or where accumulators would not fit registers. */
const ownRows = (queries: number, headDim: number): number => (queries <= 8 ? 1 : headDim <= 128 ? 4 : 2);

/** Forward attention: one workgroup per batch, head and block of queries; keys stream through workgroup memory in tiles. */
export const attentionKernel: Kernel<'q' | 'k' | 'v' | 'keyMask' | 'offset', AttentionAttrs> = {
  kind: 'dispatch',
  plan: ({ inputs, outs }, { causal, scale }) => {
    const { batch, heads, groups, queries, keys, headDim } = attentionSizes(inputs);
    const own = ownRows(queries, headDim);
    const blocks = Math.ceil(queries / (8 * own));
    const units = batch * heads * blocks;
    const [masked, offset, out, logSumExp] = [inputs.keyMask !== undefined, causal && inputs.offset !== undefined, !!outs[0], !!outs[1]];
    return {
      dispatches: [
        {
          label: 'attention',
          wgsl: wgslOf({ own, headDim, causal, masked, offset, out, logSumExp }),
          bindings: [
            ...['q', 'k', 'v', ...(masked ? ['keyMask'] : [])].map((buffer) => ({ buffer, access: 'read', element: 'f32' }) as const),
            ...(offset ? [{ buffer: 'offset', access: 'read', element: 'i32' } as const] : []),
            ...outs.flatMap((o, i) => (o ? [{ buffer: `out${i}`, access: 'read_write', element: 'f32' } as const] : [])),
          ],
          params: { units, blocks, heads, share: groups === 0 ? 1 : heads / groups, queries, keys, scale: { f32: scale } },
          workgroups: units,
        },
      ],
    };
  },
};
