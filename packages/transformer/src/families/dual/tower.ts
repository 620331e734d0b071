import { add, broadcastTo, concat, PeftError, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { Forward } from '../../forward.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import type { Path, PathTable } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import { patchesOf } from '../vit/patches.ts';
import type { DualConfig, SideConfig } from './config.ts';
import { rowsOfPicture } from './needs.ts';
import { blocksOf, type DualRecord, dualPaths, moduleOf, type Side } from './record.ts';

const selfAttention =
  (path: Path, headDim: number, { linear, attend }: Forward) =>
  (x: Tensor): Tensor => {
    const heads = (name: string): Tensor => splitHeads(linear(`${path}.${name}`, x), headDim);
    return linear(
      `${path}.out_proj`,
      joinHeads(attend(path, heads('q_proj'), { k: heads('k_proj'), v: heads('v_proj') })),
    );
  };

const feedForward =
  (path: Path, { activation }: SideConfig, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(`${path}.fc2`, activations[activation](linear(`${path}.fc1`, x)));

/** Parts that both towers have: blocks with norms before each part. Throws `bad-config` where the heads do not divide the width. */
const sideSpec = (
  side: Side,
  modelType: string,
  config: SideConfig,
  norms: { readonly first: readonly Path[]; readonly last: Path | null },
): Omit<TowerSpec, 'attends' | 'tokenTable' | 'reads' | 'maxPositions' | 'positionTable'> => {
  const { hiddenSize, heads, layers } = config;
  const headDim = hiddenSize / heads;
  if (!Number.isInteger(headDim))
    throw new PeftError(
      'bad-config',
      `${modelType}: ${heads} heads do not divide the hiddenSize ${hiddenSize} of ${side}; give a number that does`,
    );
  const blocks = blocksOf(side, layers);
  const attns = blocks.map(({ attn }) => attn);
  const paths: PathTable = {
    embed: [`${moduleOf(side)}.embeddings`],
    block: blocks.map(({ block }) => block),
    attn: attns,
    mlp: blocks.map(({ mlp }) => mlp),
    norm: [...norms.first, ...blocks.flatMap((block) => block.norms), ...(norms.last ? [norms.last] : [])],
    heads: attns,
    kv: attns,
    head: [moduleOf(side)],
  };
  return {
    name: side,
    alone: true,
    hiddenSize,
    heads,
    keyHeads: heads,
    headDim,
    paths,
    layers: (forward) => (x, layer) => {
      const { attn, mlp, norms: own } = blocks[layer]!;
      const attention = forward.at('attn', attn, selfAttention(attn, headDim, forward), x);
      const h = add(x, attention(forward.norm(own[0], x)));
      const run = forward.at('mlp', mlp, feedForward(mlp, config, forward), h);
      return add(h, run(forward.norm(own[1], h)));
    },
    finish: (forward, x) => (norms.last ? forward.norm(norms.last, x) : x),
  };
};

/** The tower of texts, with learned positions. */
export const textTower = ({ attends }: DualRecord, { modelType, text, maxPositions }: DualConfig): TowerSpec => ({
  ...sideSpec('text', modelType, text, { first: [], last: dualPaths.textNorm }),
  attends,
  tokenTable: dualPaths.tokens,
  reads: { ids: 'ids', mask: 'mask' },
  maxPositions,
  positionTable: dualPaths.textPositions,
});

/** The tower of pictures: patches with learned positions; with a class's row in front of them there is a norm before the blocks. Alone it ends as its classifier reads it. */
export const visionTower = (record: DualRecord, { modelType, vision, only }: DualConfig): TowerSpec => {
  const { picture, patch, hiddenSize } = vision;
  const { classRow, patches, picturePositions, firstNorm, visionNorm } = dualPaths;
  return {
    ...sideSpec('vision', modelType, vision, {
      first: record.classRow ? [firstNorm] : [],
      last: only && record.classifies === 'blocks' ? null : visionNorm,
    }),
    attends: 'all',
    tokenTable: null,
    reads: { ids: 'pixels', mask: 'pixelMask', picture, patch: [patch, patch] },
    maxPositions: rowsOfPicture(record, vision, picture[1], picture[2]),
    positionTable: null,
    picture: {
      rows: (height, width) => rowsOfPicture(record, vision, height, width),
      embed: (pixels, { linear, weights }) => {
        const [batch] = pixels.shape as readonly [number];
        const own = linear(patches, patchesOf(pixels, [patch, patch]));
        const front = record.classRow ? broadcastTo(weights(classRow), [batch, 1, hiddenSize]) : null;
        return add(front ? concat(front, own, { axis: 1 }) : own, weights(picturePositions));
      },
    },
    start: (forward, x) => (record.classRow ? forward.norm(firstNorm, x) : x),
  };
};
