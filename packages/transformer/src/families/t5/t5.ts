import { add, mul, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { AttendOptions, Forward } from '../../forward.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import { rmsNormLayer } from '../../norm.ts';
import type { KeyValue, Path } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import type { Family, HeadSpec } from '../family.ts';
import { languageHead } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import { relativeBias } from '../relative-bias.ts';
import type { T5Config } from './config.ts';
import { t5ConfigJson } from './config-json.ts';
import { t5Needs } from './needs.ts';
import { blocksOf, type Stack } from './paths.ts';
import type { T5Record } from './record.ts';

const tokenTable: Path = 'shared';
const biasTables: readonly Path[] = ['encoder', 'decoder'].map(
  (stack) => `${stack}.block.0.layer.0.SelfAttention.relative_attention_bias`,
);
const unscaled = 1;

const selfAttention =
  (path: Path, { headDim }: T5Config, bias: AttendOptions['bias'] & {}, { linear, attend }: Forward) =>
  (x: Tensor): Tensor => {
    const heads = (name: string): Tensor => splitHeads(linear(`${path}.${name}`, x), headDim);
    const own = { k: heads('k'), v: heads('v') };
    return linear(`${path}.o`, joinHeads(attend(path, heads('q'), own, { scale: unscaled, bias })));
  };

/** Attention of the decoder over all rows of the encoder. */
const crossAttention =
  (path: Path, { headDim }: T5Config, { linear, attendTo }: Forward) =>
  (x: Tensor): Tensor => {
    const heads = (name: string, of: Tensor, layer = linear): Tensor =>
      splitHeads(layer(`${path}.${name}`, of), headDim);
    const made = (rows: Tensor, layer: Forward['linear']): KeyValue => ({
      k: heads('k', rows, layer),
      v: heads('v', rows, layer),
    });
    return linear(`${path}.o`, joinHeads(attendTo('encoder', path, heads('q', x), made, { scale: unscaled })));
  };

const feedForward =
  (path: Path, { gated, activation }: T5Config, { linear }: Forward) =>
  (x: Tensor): Tensor => {
    const act = (name: string): Tensor => activations[activation](linear(`${path}.${name}`, x));
    return linear(`${path}.wo`, gated ? mul(act('wi_0'), linear(`${path}.wi_1`, x)) : act('wi'));
  };

const tower = (config: T5Config, stack: Stack): TowerSpec => {
  const { hiddenSize, heads, headDim } = config;
  const blocks = blocksOf(config, stack);
  const both = stack === 'encoder';
  const crosses = blocks.flatMap(({ cross }) => cross ?? []);
  const attns = blocks.map(({ attn }) => attn);
  return {
    name: stack,
    attends: both ? 'all' : 'before',
    tokenTable,
    hiddenSize,
    heads,
    keyHeads: heads,
    headDim,
    maxPositions: Number.POSITIVE_INFINITY,
    reads: both ? { ids: 'ids', mask: 'mask' } : { ids: 'decoderIds', mask: 'decoderMask' },
    paths: {
      embed: [`${stack}.embed_tokens`],
      block: blocks.map(({ block }) => block),
      attn: attns,
      cross: crosses,
      mlp: blocks.map(({ mlp }) => mlp),
      norm: [...blocks.flatMap(({ norms }) => norms), `${stack}.final_layer_norm`],
      heads: attns,
      kv: attns,
      crossKv: crosses,
      head: [both ? 'encoder' : 'lm_head'],
    },
    positionTable: null,
    layers: (forward) => {
      const table = forward.weights(`${attns[0]!}.relative_attention_bias`);
      const made = new Map<string, Tensor>();
      const bias: AttendOptions['bias'] & {} = (queries, keys, _, first) => {
        const sizes = `${queries} ${keys}`;
        return made.get(sizes) ?? made.set(sizes, relativeBias(table, config, both, queries, keys, first)).get(sizes)!;
      };
      return (x, layer) => {
        const { attn, cross, mlp, norms } = blocks[layer]!;
        const part = (site: 'attn' | 'cross' | 'mlp', path: Path, core: (h: Tensor) => Tensor, norm: Path, h: Tensor) =>
          add(h, forward.at(site, path, core, h)(forward.norm(norm, h)));
        const own = part('attn', attn, selfAttention(attn, config, bias, forward), norms[0]!, x);
        const h = cross ? part('cross', cross, crossAttention(cross, config, forward), norms[1]!, own) : own;
        return part('mlp', mlp, feedForward(mlp, config, forward), norms.at(-1)!, h);
      };
    },
    finish: (forward, x) => forward.norm(`${stack}.final_layer_norm`, x),
  };
};

const headOf = (stem: string): HeadSpec<T5Config> => ({
  ...languageHead(`${stem}ForConditionalGeneration`),
  features: (_, { main }, __, { scaledHead, hiddenSize }) => (scaledHead ? mul(main, hiddenSize ** -0.5) : main),
});

/**
 * The family of a record. Inputs: `ids` and `mask` of the encoder, `decoderIds` and `decoderMask` of the decoder, which a caller shifts: they begin
 * with the config's `decoderStartId`. Paths are Hugging Face's module paths. Dropout of the base is off, as in every family.
 */
const t5Family = (record: T5Record): Family<T5Config> => ({
  modelType: record.modelType,
  parser: async () => {
    const { parseT5 } = await import('./config.ts');
    return (json, problems) => parseT5(record, json, problems);
  },
  configJson: t5ConfigJson,
  // Since its version 5 transformers says of every T5 that its head is tied, and finds by the file that it is not.
  settle: (config, has) => ({ ...config, tieWordEmbeddings: config.tieWordEmbeddings && !has('lm_head.weight') }),
  needs: t5Needs,
  towers: (config) => [tower(config, 'encoder'), tower(config, 'decoder')],
  parts: ({ normEps, tieWordEmbeddings }, tensors) =>
    partsOfTensors(tensors, {
      embeddings: [tokenTable, ...biasTables],
      isNorm: (path) => path.endsWith('layer_norm'),
      norm: (values) => rmsNormLayer(values, normEps),
      tied: tieWordEmbeddings ? ['lm_head', tokenTable] : null,
    }),
  layout: {
    ignored: /^(encoder|decoder)\.embed_tokens\.weight$|EncDecAttention\.relative_attention_bias\.weight$/,
    aliases: [[/^shared\./, 'encoder.embed_tokens.']],
  },
  roles: [
    { role: 'query', name: 'q' },
    { role: 'key', name: 'k' },
    { role: 'value', name: 'v' },
    { role: 'attn-out', name: 'o' },
    { role: 'gate', name: 'wi_0' },
    { role: 'up', name: 'wi_1' },
    { role: 'up', name: 'wi' },
    { role: 'down', name: 'wo' },
    { role: 'head', name: 'lm_head' },
  ],
  defaultTargets: {
    lora: ['q', 'v'],
    normAfterAttention: ['layer.1.layer_norm'],
    beft: ['v'],
    ...record.targets,
  },
  heads: { seq2seqLM: headOf(record.stem) },
  narrow: (config, reduction, layers) => {
    const part = (size: number): number => Math.max(1, Math.round(size / reduction));
    return {
      ...config,
      layers,
      encoderLayers: layers,
      intermediateSize: part(config.intermediateSize),
      vocabSize: 1,
      tieWordEmbeddings: true,
      hiddenSize: part(config.hiddenSize),
      headDim: part(config.headDim),
    };
  },
});

/**
 * T5 encoder-decoders, versions 1.0 and 1.1 (FLAN): RMSNorm before each part, attention without a scale, a bias of relative positions from one
 * table for all blocks of a stack, an MLP of ReLU or gated GELU. Raffel et al., 2019. https://arxiv.org/abs/1910.10683
 */
export const t5: Family<T5Config> = t5Family({
  modelType: 't5',
  stem: 'T5',
  defaults: {},
  targets: {
    vblora: ['q', 'k', 'v', 'o', 'wi', 'wo'],
    ia3: ['k', 'v', 'wo'],
    ia3Feedforward: ['wo'],
  },
});

/**
 * mT5: a T5 1.1 of many languages, whose head is never scaled. Xue et al., 2020. https://arxiv.org/abs/2010.11934; transformers,
 * `modeling_mt5.py`.
 */
export const mt5: Family<T5Config> = t5Family({
  modelType: 'mt5',
  stem: 'MT5',
  defaults: {
    vocab_size: 250_112,
    d_ff: 1024,
    num_layers: 8,
    num_heads: 6,
    feed_forward_proj: 'gated-gelu',
    decoder_start_token_id: 0,
  },
  targets: {
    vblora: ['q', 'k', 'v', 'o', 'wi_0', 'wi_1', 'wo'],
    ia3: ['k', 'v', 'wi_1'],
    ia3Feedforward: [],
  },
});
