import { add, PeftError, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { Forward } from '../../forward.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import type { KeyValue } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import type { BartConfig } from './config.ts';
import {
  type BartRecord,
  type BlockPart,
  blocksOf,
  type Stack,
  sizesOf,
  tokenTable,
  unusedPositions,
} from './record.ts';

const attention =
  ({ site, path }: BlockPart, headDim: number, { linear, attend, attendTo }: Forward) =>
  (x: Tensor): Tensor => {
    const heads = (name: string, of: Tensor, layer = linear): Tensor =>
      splitHeads(layer(`${path}.${name}`, of), headDim);
    const made = (rows: Tensor, layer = linear): KeyValue => ({
      k: heads('k_proj', rows, layer),
      v: heads('v_proj', rows, layer),
    });
    const q = heads('q_proj', x);
    return linear(
      `${path}.out_proj`,
      joinHeads(site === 'cross' ? attendTo('encoder', path, q, made) : attend(path, q, made(x))),
    );
  };

const feedForward =
  (block: string, { activation }: BartConfig, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(`${block}.fc2`, activations[activation](linear(`${block}.fc1`, x)));

/** One tower of a BART. Throws `bad-config` where the heads do not divide the width. */
export const bartTower = (record: BartRecord, config: BartConfig, stack: Stack): TowerSpec => {
  const { hiddenSize, maxPositions, modelType } = config;
  const { heads } = sizesOf(config, stack);
  const headDim = hiddenSize / heads;
  if (!Number.isInteger(headDim))
    throw new PeftError('bad-config', `${modelType}: ${heads} heads do not divide the hiddenSize ${hiddenSize}`);
  const blocks = blocksOf(config, stack);
  const pathsOf = (site: BlockPart['site']): readonly string[] =>
    blocks.flatMap(({ parts }) => parts.flatMap((part) => (part.site === site ? [part.path] : [])));
  const both = stack === 'encoder';
  const [embeddingNorm, lastNorm] = [`model.${stack}.layernorm_embedding`, `model.${stack}.layer_norm`];
  return {
    name: stack,
    attends: both ? 'all' : 'before',
    tokenTable,
    tokenScale: config.scaledEmbedding ? Math.sqrt(hiddenSize) : 1,
    hiddenSize,
    heads,
    keyHeads: heads,
    headDim,
    maxPositions,
    reads: both ? { ids: 'ids', mask: 'mask' } : { ids: 'decoderIds', mask: 'decoderMask' },
    paths: {
      embed: [`model.${stack}.embed_tokens`],
      block: blocks.map(({ block }) => block),
      attn: pathsOf('attn'),
      cross: pathsOf('cross'),
      mlp: pathsOf('mlp'),
      norm: [
        embeddingNorm,
        ...blocks.flatMap(({ parts }) => parts.map(({ norm }) => norm)),
        ...(record.normFirst ? [lastNorm] : []),
      ],
      kv: pathsOf('attn'),
      crossKv: pathsOf('cross'),
      head: [both ? 'model.encoder' : 'lm_head'],
    },
    normsSums: !record.normFirst,
    positionTable: `model.${stack}.embed_positions`,
    firstPosition: unusedPositions,
    start: (forward, x) => forward.norm(embeddingNorm, x),
    layers: (forward) => {
      return (x, layer) => {
        const { block, parts } = blocks[layer]!;
        return parts.reduce((h, part) => {
          const core = part.site === 'mlp' ? feedForward(block, config, forward) : attention(part, headDim, forward);
          const norm = (x: Tensor): Tensor => forward.norm(part.norm, x);
          const run = forward.at(part.site, part.path, core, h, record.normFirst ? undefined : norm);
          return record.normFirst ? add(h, run(norm(h))) : norm(add(h, run(h)));
        }, x);
      };
    },
    finish: (forward, x) => (record.normFirst ? forward.norm(lastNorm, x) : x),
  };
};
