import { attentionSizes } from '@peftjs/tensor/executor';
import type { Binding, Dispatch } from '../kernel.ts';
import { keyGradWgsl, queryGradWgsl, rowStatsWgsl, statsLanes } from './attention-backward-wgsl.ts';
import { attentionTiles } from './attention-choice.ts';
import { scoreParams, scoreVariant } from './attention-forward.ts';
import { rowParams, rowsBinding } from './attention-tiles.ts';
import type { KernelFor } from './kernel-for.ts';

const read = (buffer: string): Binding => ({ buffer, access: 'read', element: 'f32' });
const write = (buffer: string): Binding => ({ buffer, access: 'read_write', element: 'f32' });

/**
 * Backward attention, recomputing the weights tile by tile: row sums first, then dq per block of queries, then dk and dv per block of keys,
 * which walks the queries of all heads that share it; no two workgroups write one value, so results are the same every time.
 */
export const attentionGradKernel: KernelFor<'attention_grad'> = {
  kind: 'dispatch',
  strided: ['q', 'k', 'v', 'y', 'dy', 'out0', 'out1', 'out2'],
  plan: (io, attrs, device) => {
    const {
      inputs,
      outs: [dq, dk, dv],
    } = io;
    const at = (buffer: string, like: 'q' | 'k'): Record<string, number> => rowParams(buffer, inputs[like]!, io);
    const { batch, heads, groups, queries, keys, headDim } = attentionSizes(inputs);
    const rows = batch * heads * queries;
    const masked = inputs.keyMask !== undefined;
    const offset = attrs.causal && inputs.offset !== undefined;
    const variant = scoreVariant(attrs, masked);
    const shared = [
      ...['q', 'k', 'v', 'dy'].map((buffer) => rowsBinding(buffer, 'read', headDim)),
      read('stats'),
      ...(masked ? [read('keyMask')] : []),
    ];
    const params = {
      heads,
      share: groups === 0 ? 1 : heads / groups,
      queries,
      keys,
      rows,
      ...scoreParams(attrs),
      ...at('q', 'q'),
      ...at('k', 'k'),
      ...at('v', 'k'),
      ...at('dy', 'q'),
    };
    const stats: Dispatch = {
      label: 'attention gradient: row sums',
      wgsl: rowStatsWgsl(headDim, offset),
      bindings: [
        read('y'),
        read('dy'),
        read('logSumExp'),
        ...(offset ? [{ ...read('offset'), element: 'i32' }] : []),
        write('stats'),
      ],
      params: { rows, heads, queries, shift: (keys - queries) >>> 0, ...at('y', 'q'), ...at('dy', 'q') },
      workgroups: Math.ceil((rows + 1) / statsLanes),
    };
    const queryPass = (): Dispatch => {
      const tiles = attentionTiles(queries, headDim, 1, device);
      const blocks = Math.ceil(queries / tiles.rows);
      const units = batch * heads * blocks;
      return {
        label: 'attention gradient: queries',
        wgsl: queryGradWgsl(tiles, variant),
        bindings: [...shared, rowsBinding('out0', 'read_write', headDim)],
        params: { ...params, ...at('out0', 'q'), units, blocks },
        workgroups: units,
      };
    };
    const keyPass = (): Dispatch => {
      const tiles = attentionTiles(keys, headDim, 2, device);
      const blocks = Math.ceil(keys / tiles.rows);
      const units = batch * groups * blocks;
      return {
        label: 'attention gradient: keys and values',
        wgsl: keyGradWgsl(tiles, variant, !!dk, !!dv),
        bindings: [
          ...shared,
          ...(dk ? [rowsBinding('out1', 'read_write', headDim)] : []),
          ...(dv ? [rowsBinding('out2', 'read_write', headDim)] : []),
        ],
        params: { ...params, ...(dk && at('out1', 'k')), ...(dv && at('out2', 'k')), units, blocks },
        workgroups: units,
      };
    };
    return {
      dispatches: [stats, ...(dq ? [queryPass()] : []), ...(dk || dv ? [keyPass()] : [])],
      temps: { stats: 4 * (2 * rows + 1) },
    };
  },
};
