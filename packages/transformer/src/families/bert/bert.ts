import { add, broadcastTo, concat, PeftError, reshape, slice, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import { layerNormLayer } from '../../norm.ts';
import type { Forward } from '../../run-tower.ts';
import type { Path } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import type { Family } from '../family.ts';
import { tokenHead } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import type { BertConfig } from './config.ts';
import { bertConfigJson } from './config-json.ts';
import { maskedHead, pooledHead } from './heads.ts';
import { bertNeeds } from './needs.ts';

const tokenTable: Path = 'bert.embeddings.word_embeddings';
const positionTable: Path = 'bert.embeddings.position_embeddings';
const typeTable: Path = 'bert.embeddings.token_type_embeddings';

const selfAttention =
  (path: Path, { headDim }: BertConfig, { linear, attend }: Forward) =>
  (x: Tensor): Tensor => {
    const heads = (name: string): Tensor => splitHeads(linear(`${path}.self.${name}`, x), headDim);
    const mixed = attend(path, heads('query'), { k: heads('key'), v: heads('value') });
    return linear(`${path}.output.dense`, joinHeads(mixed));
  };

const feedForward =
  (block: Path, { activation }: BertConfig, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(`${block}.output.dense`, activations[activation](linear(`${block}.intermediate.dense`, x)));

/** x with the rows of the tokens' types; rows in front, and all rows where no types are given, are of the first type. */
const addTypes = (x: Tensor, { inputs: { tokenTypes: types }, sequence, embedding, weights }: Forward): Tensor => {
  const [batch, rows, width] = x.shape as readonly [number, number, number];
  const first = reshape(slice(weights(typeTable), { axis: 0, start: 0, end: 1 }), [width]);
  if (!types) return add(x, first);
  if (types.dtype !== 'i32' || types.shape.join() !== `${batch},${sequence.tokens}`)
    throw new PeftError(
      'bad-shape',
      `tokenTypes: must be i32 [${batch}, ${sequence.tokens}], one for each token, got ${types.dtype} [${types.shape}]`,
    );
  const own = embedding(typeTable, types);
  const front = rows - sequence.tokens;
  return add(x, front > 0 ? concat(broadcastTo(first, [batch, front, width]), own, { axis: 1 }) : own);
};

const checkConfig = ({ hiddenSize, heads, headDim }: BertConfig): void => {
  if (heads * headDim !== hiddenSize)
    throw new PeftError(
      'bad-config',
      `bert: ${heads} heads of headDim ${headDim} do not make the hiddenSize ${hiddenSize}; heads · headDim must equal it`,
    );
};

const tower = (config: BertConfig): TowerSpec => {
  checkConfig(config);
  const { hiddenSize, heads, headDim, maxPositions } = config;
  const blocks = Array.from({ length: config.layers }, (_, i) => `bert.encoder.layer.${i}`);
  const attns = blocks.map((path) => `${path}.attention`);
  const mlps = blocks.map((path) => `${path}.output`);
  return {
    name: 'encoder',
    attends: 'all',
    tokenTable,
    hiddenSize,
    heads,
    keyHeads: heads,
    headDim,
    maxPositions,
    reads: { ids: 'ids', mask: 'mask', kinds: { tokenTypes: config.tokenTypes } },
    paths: {
      embed: [tokenTable],
      block: blocks,
      attn: attns,
      mlp: mlps,
      norm: [
        'bert.embeddings.LayerNorm',
        ...blocks.flatMap((path) => [`${path}.attention.output.LayerNorm`, `${path}.output.LayerNorm`]),
      ],
      kv: attns,
      head: ['bert.encoder'],
    },
    positionTable,
    start: (forward, x) => forward.norm('bert.embeddings.LayerNorm', addTypes(x, forward)),
    layers: (forward) => (x, layer) => {
      const [attnPath, mlpPath, block] = [attns[layer]!, mlps[layer]!, blocks[layer]!];
      const attn = forward.at('attn', attnPath, selfAttention(attnPath, config, forward), x);
      const h = forward.norm(`${attnPath}.output.LayerNorm`, add(attn(x), x));
      const mlp = forward.at('mlp', mlpPath, feedForward(block, config, forward), h);
      return forward.norm(`${mlpPath}.LayerNorm`, add(mlp(h), h));
    },
    finish: (_, x) => x,
  };
};

/**
 * BERT encoders: learned positions and token types (input `tokenTypes` i32 [batch, tokens], default all 0), LayerNorm after each residual sum.
 * Paths are Hugging Face's module paths; of the sites `mlp` is at `output`, where its result is added. Dropout of the base is off, as
 * in every family. Building throws `bad-config` where the heads do not make the width. Devlin et al., 2018. https://arxiv.org/abs/1810.04805
 */
export const bert: Family<BertConfig> = {
  modelType: 'bert',
  parser: async () => (await import('./config.ts')).parseBert,
  configJson: bertConfigJson,
  needs: bertNeeds,
  towers: (config) => [tower(config)],
  parts: ({ normEps, tieWordEmbeddings }, tensors) =>
    partsOfTensors(tensors, {
      embeddings: [tokenTable, positionTable, typeTable],
      isNorm: (path) => path.endsWith('.LayerNorm'),
      norm: (values) => layerNormLayer(values, normEps),
      tied: tieWordEmbeddings && tensors.has(`${maskedHead.layer}.bias`) ? [maskedHead.layer, tokenTable] : null,
    }),
  layout: {
    ignored: /\.position_ids$|^cls\.seq_relationship\.|^cls\.predictions\.bias$/,
    prefix: 'bert.',
    aliases: [
      [/LayerNorm\.weight$/, 'LayerNorm.gamma'],
      [/LayerNorm\.bias$/, 'LayerNorm.beta'],
      [/decoder\.bias$/, 'bias'],
    ],
  },
  roles: [
    { role: 'query', name: 'attention.self.query' },
    { role: 'key', name: 'attention.self.key' },
    { role: 'value', name: 'attention.self.value' },
    { role: 'attn-out', name: 'attention.output.dense' },
    { role: 'up', name: 'intermediate.dense' },
    { role: 'down', name: 'output.dense' },
    { role: 'head', name: 'classifier' },
    { role: 'head', name: maskedHead.layer },
  ],
  defaultTargets: {
    lora: ['query', 'value'],
    ia3: ['key', 'value', 'output.dense'],
    ia3Feedforward: ['output.dense'],
    beft: ['value'],
  },
  heads: {
    maskedLM: maskedHead,
    sequenceClassifier: pooledHead,
    tokenClassifier: tokenHead('BertForTokenClassification', 'classifier'),
  },
  narrow: (config, reduction, layers) => {
    const part = (size: number): number => Math.max(1, Math.round(size / reduction));
    const headDim = part(config.hiddenSize / config.heads);
    return {
      ...config,
      layers,
      intermediateSize: part(config.intermediateSize),
      vocabSize: 1,
      tieWordEmbeddings: true,
      hiddenSize: config.heads * headDim,
      headDim,
    };
  },
};
