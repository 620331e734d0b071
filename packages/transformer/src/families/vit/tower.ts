import { add, broadcastTo, concat, mul, PeftError, slice, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { AttendOptions, Forward } from '../../forward.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import type { Path } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import type { VitConfig } from './config.ts';
import { interpolated } from './interpolated.ts';
import { patchesOf } from './patches.ts';
import {
  blocksOf,
  extraRows,
  hasPositions,
  lastNorm,
  patchLayer,
  positionTable,
  relativeTables,
  rowsOf,
  type VitRecord,
} from './record.ts';
import { relativePositions } from './relative.ts';

/** The positions of a picture's rows: those of the table, or what lies between its patches' where the picture has another size. */
const positionsOf = (
  { extra, interpolates }: VitRecord,
  { picture, patch: [high, wide] }: VitConfig,
  table: Tensor,
  pixels: Tensor,
): Tensor => {
  const [, , height, width] = pixels.shape as readonly [number, number, number, number];
  const [rows, columns] = [Math.floor(height / high), Math.floor(width / wide)];
  const patches = table.shape[0]! - extra.length;
  // A square of as many patches keeps its positions; all else goes through the filter, as in transformers.
  if (!interpolates || (rows * columns === patches && height === width)) return table;
  if (picture[1] !== picture[2])
    throw new PeftError(
      'bad-shape',
      `model: pixels of ${height} x ${width}: positions of pictures that are not square (${picture[1]} x ${picture[2]}) cannot be interpolated; give pictures of that size`,
    );
  const own = slice(table, { axis: 0, start: extra.length, end: extra.length + patches });
  return concat(slice(table, { axis: 0, start: 0, end: extra.length }), interpolated(own, rows, columns), { axis: 0 });
};

const selfAttention =
  (path: Path, headDim: number, how: AttendOptions, { linear, attend }: Forward) =>
  (x: Tensor): Tensor => {
    const heads = (name: string): Tensor => splitHeads(linear(`${path}.${name}`, x), headDim);
    return linear(
      `${path}.o_proj`,
      joinHeads(attend(path, heads('q_proj'), { k: heads('k_proj'), v: heads('v_proj') }, how)),
    );
  };

const feedForward =
  (path: Path, { activation }: VitConfig, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(`${path}.fc2`, activations[activation](linear(`${path}.fc1`, x)));

/** The tower of a record: patches with positions, norms before each part. Throws `bad-config` where the heads do not divide the width. */
export const vitTower = (record: VitRecord, config: VitConfig): TowerSpec => {
  const { hiddenSize, heads, picture, patch } = config;
  const headDim = hiddenSize / heads;
  if (!Number.isInteger(headDim))
    throw new PeftError(
      'bad-config',
      `${record.modelType}: ${heads} heads do not divide the hiddenSize ${hiddenSize}; give a number that does`,
    );
  const { prefix } = record;
  const blocks = blocksOf(record, config);
  const attns = blocks.map(({ attn }) => attn);
  const rows = rowsOf(record, config);
  const last = lastNorm(record, config);
  const tables = relativeTables(record, config);
  return {
    name: 'encoder',
    attends: 'all',
    tokenTable: null,
    hiddenSize,
    heads,
    keyHeads: heads,
    headDim,
    maxPositions: rows,
    reads: { ids: 'pixels', mask: 'mask', picture, patch, anySize: record.interpolates },
    picture: {
      rows: (height, width) => rowsOf(record, config, height, width),
      embed: (pixels, { linear, weights }) => {
        const [batch] = pixels.shape as readonly [number];
        const own = linear(patchLayer(record), patchesOf(pixels, patch));
        const front = extraRows(record).map((path) => broadcastTo(weights(path), [batch, 1, hiddenSize]));
        const all = front.reduceRight((x, row) => concat(row, x, { axis: 1 }), own);
        if (!hasPositions(config)) return all;
        return add(all, positionsOf(record, config, weights(positionTable(record)), pixels));
      },
    },
    paths: {
      embed: [`${prefix}.embeddings`],
      block: blocks.map(({ block }) => block),
      attn: attns,
      mlp: blocks.map(({ mlp }) => mlp),
      norm: [...blocks.flatMap(({ norms }) => norms), ...(last ? [last] : [])],
      heads: attns,
      kv: attns,
      head: [prefix],
    },
    positionTable: null,
    layers: (forward) => (x, layer) => {
      const { attn, mlp, norms, scales } = blocks[layer]!;
      const table = tables[layer] ?? tables[0];
      const how: AttendOptions =
        table === undefined
          ? {}
          : { bias: (queries, keys) => relativePositions(forward.weights(table), config, queries, keys) };
      const scaled = (part: 0 | 1, y: Tensor): Tensor => (scales ? mul(y, forward.weights(scales[part])) : y);
      const attention = forward.at('attn', attn, selfAttention(attn, headDim, how, forward), x);
      const h = add(x, scaled(0, attention(forward.norm(norms[0], x))));
      const run = forward.at('mlp', mlp, feedForward(mlp, config, forward), h);
      return add(h, scaled(1, run(forward.norm(norms[1], h))));
    },
    finish: (forward, x) => (last ? forward.norm(last, x) : x),
  };
};
