import { add, reshape, type Tensor, transpose } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import { biasedAttention } from '../../biased-attention.ts';
import type { Forward } from '../../forward.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import { patchesOf } from '../vit/patches.ts';
import type { SwinConfig } from './config.ts';
import { blocksOf, embeddings, gridsOf, lastNorm, type SwinBlock } from './record.ts';
import { filled, intoWindows, laidBack, laidOut, outOfWindows, windowBias } from './windows.ts';

/** Attention within the windows of a block. */
const windowAttention =
  (block: SwinBlock, window: number, { linear, weights }: Forward) =>
  (x: Tensor): Tensor => {
    const laid = laidOut(x, block, window);
    const heads = (name: string): Tensor => intoWindows(linear(`${block.attn}.${name}`, laid), block, window);
    const y = biasedAttention(heads('q_proj'), heads('k_proj'), heads('v_proj'), {
      causal: false,
      keyMask: null,
      bias: windowBias(weights(block.relative), block, window),
    });
    return linear(`${block.attn}.o_proj`, laidBack(outOfWindows(y, block, window), block, window));
  };

const feedForward =
  ({ mlp }: SwinBlock, { activation }: SwinConfig, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(`${mlp}.fc2`, activations[activation](linear(`${mlp}.fc1`, x)));

/** Four rows that lie together as one of four times the width, those of a column first: [batch, lines · columns, d] -> [batch, ⌈lines / 2⌉ · ⌈columns / 2⌉, 4d]. */
const fourInOne = (x: Tensor, [lines, columns]: SwinBlock['grid']): Tensor => {
  const [batch, , d] = x.shape as readonly [number, number, number];
  const [high, wide] = [Math.ceil(lines / 2), Math.ceil(columns / 2)];
  const whole = filled(filled(reshape(x, [batch, lines, columns, d]), 1, 2 * high), 2, 2 * wide);
  const parts = reshape(whole, [batch * high, 2, wide, 2, d]);
  return reshape(transpose(parts, [0, 2, 3, 1, 4]), [batch, high * wide, 4 * d]);
};

/** The tower: stages of blocks over windows of patches, and between stages a layer that makes a row of four. */
export const swinTower = (config: SwinConfig): TowerSpec => {
  const { hiddenSize, embedSize, picture, patch, window, positions } = config;
  const blocks = blocksOf(config);
  const [[lines, columns]] = gridsOf(config) as [readonly [number, number]];
  const widths = new Map(
    blocks.flatMap(({ block, attn, mlp, norms, width }) => [block, attn, mlp, ...norms].map((path) => [path, width])),
  );
  const { heads, width } = blocks.at(-1)!;
  return {
    name: 'encoder',
    attends: 'all',
    tokenTable: null,
    hiddenSize,
    heads,
    keyHeads: heads,
    headDim: width / heads,
    widthAt: (path) => widths.get(path) ?? (path === 'swin.embeddings' ? embedSize : hiddenSize),
    takesRows: false,
    maxPositions: lines * columns,
    reads: { ids: 'pixels', mask: 'mask', picture, patch },
    picture: {
      rows: () => lines * columns,
      embed: (pixels, { linear, norm, weights }) => {
        const own = norm(embeddings.norm, linear(embeddings.patch, patchesOf(pixels, patch)));
        return positions ? add(own, weights(embeddings.positions)) : own;
      },
    },
    // Its attention is over windows, not over the rows of a picture: there are no sites of heads and of keys.
    paths: {
      embed: ['swin.embeddings'],
      block: blocks.map(({ block }) => block),
      attn: blocks.map(({ attn }) => attn),
      mlp: blocks.map(({ mlp }) => mlp),
      norm: [
        embeddings.norm,
        ...blocks.flatMap(({ norms, merging }) => [...norms, ...(merging ? [merging.norm] : [])]),
        lastNorm,
      ],
      head: ['swin'],
    },
    positionTable: null,
    layers: (forward) => (x, layer) => {
      const block = blocks[layer]!;
      const { attn, mlp, norms } = block;
      const attention = forward.at('attn', attn, windowAttention(block, window, forward), x);
      const h = add(x, attention(forward.norm(norms[0], x)));
      const run = forward.at('mlp', mlp, feedForward(block, config, forward), h);
      return add(h, run(forward.norm(norms[1], h)));
    },
    after: (forward, x, layer) => {
      const { merging, grid } = blocks[layer]!;
      return merging ? forward.linear(merging.reduction, forward.norm(merging.norm, fourInOne(x, grid))) : x;
    },
    finish: (forward, x) => forward.norm(lastNorm, x),
  };
};
