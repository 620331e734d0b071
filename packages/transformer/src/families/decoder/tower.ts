import { add, mul, ropePair, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { Rope } from '../../config/rope.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import type { AttendOptions, Forward } from '../../run-tower.ts';
import type { KeyValue, Path } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import { ropeTable } from '../rope-table.ts';
import type { DecoderConfig } from './config.ts';
import { blockNorms } from './needs.ts';
import type { HalfNorms, Traits } from './record.ts';

/** The path of the table of tokens. */
export const tokenTable: Path = 'model.embed_tokens';

const scaled = (x: Tensor, factor: number): Tensor => (factor === 1 ? x : mul(x, factor));

/** Cosines and sines of the positions of a pass. */
type Angles = readonly [cos: Tensor, sin: Tensor];

/** How a layer makes weights of scores. */
const attendOptions = ({ scoreScale, scoreCap, window }: Traits, layer: number): AttendOptions => {
  const width = window(layer);
  return {
    ...(scoreScale !== null && { scale: scoreScale }),
    ...(scoreCap !== null && { softCap: scoreCap }),
    ...(width !== null && { window: width }),
  };
};

const selfAttention =
  (path: Path, layer: number, { headDim }: DecoderConfig, traits: Traits, angles: Angles | null, forward: Forward) =>
  (x: Tensor): Tensor => {
    const { linear, norm, attend } = forward;
    const heads = (name: string): Tensor => splitHeads(linear(`${path}.${name}_proj`, x), headDim);
    const normed = (name: 'q' | 'k'): Tensor => {
      if (traits.queryKeyNorms === 'by-head') return norm(`${path}.${name}_norm`, heads(name));
      if (traits.queryKeyNorms === null) return heads(name);
      return splitHeads(norm(`${path}.${name}_norm`, linear(`${path}.${name}_proj`, x)), headDim);
    };
    const [plainQ, plainK] = [normed('q'), normed('k')];
    const [q, k] = angles ? ropePair(plainQ, plainK, ...angles) : [plainQ, plainK];
    const own: KeyValue = { k, v: heads('v') };
    return linear(`${path}.o_proj`, joinHeads(attend(path, q, own, attendOptions(traits, layer))));
  };

/** down(act(gate(x)) · up(x)). Shazeer, 2020. https://arxiv.org/abs/2002.05202 */
const gatedMlp =
  (path: Path, { activation }: DecoderConfig, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(
      `${path}.down_proj`,
      mul(activations[activation](linear(`${path}.gate_proj`, x)), linear(`${path}.up_proj`, x)),
    );

/** The tower of a gated decoder: attention and an MLP by turns, each with its norms, added to the stream. */
export const decoderTower = (config: DecoderConfig, traits: Traits): TowerSpec => {
  const { hiddenSize, heads, keyValueHeads, headDim, maxPositions } = config;
  const blocks = Array.from({ length: config.layers }, (_, i) => `model.layers.${i}`);
  const attns = blocks.map((path) => `${path}.self_attn`);
  const mlps = blocks.map((path) => `${path}.mlp`);
  return {
    name: 'decoder',
    attends: 'before',
    tokenTable,
    tokenScale: traits.tokenScale,
    hiddenSize,
    heads,
    keyHeads: keyValueHeads,
    headDim,
    maxPositions,
    reads: { ids: 'ids', mask: 'mask' },
    paths: {
      embed: [tokenTable],
      block: blocks,
      attn: attns,
      mlp: mlps,
      norm: [...blocks.flatMap((path) => blockNorms(traits).map((name) => `${path}.${name}`)), 'model.norm'],
      kv: attns,
      head: ['lm_head'],
    },
    positionTable: null,
    start: (_, x) => scaled(x, traits.rowScale),
    layers: (forward) => {
      const anglesOf = (rope: Rope): Angles => {
        const part = (name: 'cos' | 'sin'): Tensor =>
          forward.positionRows((start, count) => ropeTable({ ...rope, maxPositions }, headDim, start, count)[name]);
        return [part('cos'), part('sin')];
      };
      const angles = anglesOf(config);
      const local = config.localRope ? anglesOf(config.localRope) : angles;
      return (x, layer) => {
        const block = blocks[layer]!;
        const [attn, mlp] = [attns[layer]!, mlps[layer]!];
        const half = (
          site: 'attn' | 'mlp',
          h: Tensor,
          core: (h: Tensor) => Tensor,
          { before, after }: HalfNorms,
        ): Tensor => {
          const run = forward.at(site, site === 'attn' ? attn : mlp, core, h);
          const made = run(before === null ? h : forward.norm(`${block}.${before}`, h));
          const added = after === null ? made : forward.norm(`${block}.${after}`, made);
          return add(h, scaled(added, traits.residualScale));
        };
        const turn = traits.window(layer) === null ? angles : local;
        const attention = selfAttention(attn, layer, config, traits, traits.rotates(layer) ? turn : null, forward);
        const h = half('attn', x, attention, traits.norms.attn);
        return half('mlp', h, gatedMlp(mlp, config, forward), traits.norms.mlp);
      };
    },
    finish: (forward, x) => forward.norm('model.norm', x),
  };
};
