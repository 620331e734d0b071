import { add, mul, PeftError, ropePair, slice, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { Rope } from '../../config/rope.ts';
import type { Forward } from '../../forward.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import type { Path } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import { ropeTable } from '../rope-table.ts';
import type { ModernBertConfig } from './config.ts';

/** The path of the table of tokens. */
export const tokenTable: Path = 'model.embeddings.tok_embeddings';

/** Cosines and sines of the positions of a pass. */
type Angles = readonly [cos: Tensor, sin: Tensor];

/** The i-th of equal parts of the last axis of [batch, rows, parts·width]. */
const part = (x: Tensor, i: number, width: number): Tensor =>
  slice(x, { axis: 2, start: i * width, end: (i + 1) * width });

const selfAttention =
  (path: Path, layer: number, config: ModernBertConfig, angles: Angles, { linear, attend }: Forward) =>
  (x: Tensor): Tensor => {
    const { hiddenSize, headDim, layerTypes, localAttention } = config;
    const all = linear(`${path}.Wqkv`, x); // all queries, then all keys, then all values
    const heads = (third: number): Tensor => splitHeads(part(all, third, hiddenSize), headDim);
    const [q, k] = ropePair(heads(0), heads(1), ...angles);
    const near = layerTypes[layer] === 'sliding_attention' ? { reach: Math.floor(localAttention / 2) } : {};
    return linear(`${path}.Wo`, joinHeads(attend(path, q, { k, v: heads(2) }, near)));
  };

/** Wo(act(a) · b), where Wi(x) is a beside b. Shazeer, 2020. https://arxiv.org/abs/2002.05202 */
const gatedMlp =
  (path: Path, { activation, intermediateSize }: ModernBertConfig, { linear }: Forward) =>
  (x: Tensor): Tensor => {
    const both = linear(`${path}.Wi`, x);
    const gate = activations[activation](part(both, 0, intermediateSize));
    return linear(`${path}.Wo`, mul(gate, part(both, 1, intermediateSize)));
  };

/** The tower of a ModernBERT. Throws `bad-config` where the heads do not make the width. */
export const modernBertTower = (config: ModernBertConfig): TowerSpec => {
  const { hiddenSize, heads, headDim, maxPositions, layers } = config;
  if (heads * headDim !== hiddenSize)
    throw new PeftError(
      'bad-config',
      `modernbert: ${heads} heads of headDim ${headDim} do not make the hiddenSize ${hiddenSize}; heads · headDim must equal it`,
    );
  const blocks = Array.from({ length: layers }, (_, i) => `model.layers.${i}`);
  const attns = blocks.map((path) => `${path}.attn`);
  const mlps = blocks.map((path) => `${path}.mlp`);
  const attnNorm = (layer: number): Path[] => (layer === 0 ? [] : [`${blocks[layer]!}.attn_norm`]);
  return {
    name: 'encoder',
    attends: 'all',
    tokenTable,
    hiddenSize,
    heads,
    keyHeads: heads,
    headDim,
    maxPositions,
    reads: { ids: 'ids', mask: 'mask' },
    paths: {
      embed: [tokenTable],
      block: blocks,
      attn: attns,
      mlp: mlps,
      norm: [
        'model.embeddings.norm',
        ...blocks.flatMap((path, i) => [...attnNorm(i), `${path}.mlp_norm`]),
        'model.final_norm',
      ],
      heads: attns,
      kv: attns,
      head: ['model'],
    },
    positionTable: null,
    start: (forward, x) => forward.norm('model.embeddings.norm', x),
    layers: (forward) => {
      const anglesOf = (rope: Rope): Angles => {
        const table = (name: 'cos' | 'sin'): Tensor =>
          forward.positionRows((start, count) => ropeTable({ ...rope, maxPositions }, headDim, start, count)[name]);
        return [table('cos'), table('sin')];
      };
      const [far, near] = [anglesOf(config), anglesOf(config.localRope)];
      return (x, layer) => {
        const [attn, mlp] = [attns[layer]!, mlps[layer]!];
        const angles = config.layerTypes[layer] === 'sliding_attention' ? near : far;
        const attention = forward.at('attn', attn, selfAttention(attn, layer, config, angles, forward), x);
        const h = add(x, attention(attnNorm(layer).reduce((y, path) => forward.norm(path, y), x)));
        const run = forward.at('mlp', mlp, gatedMlp(mlp, config, forward), h);
        return add(h, run(forward.norm(`${blocks[layer]!}.mlp_norm`, h)));
      };
    },
    finish: (forward, x) => forward.norm('model.final_norm', x),
  };
};
