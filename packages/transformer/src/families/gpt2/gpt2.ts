import { add, PeftError, slice, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { Forward } from '../../forward.ts';
import { joinHeads, splitHeads } from '../../heads.ts';
import { layerNormLayer } from '../../norm.ts';
import type { Path } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import type { Family } from '../family.ts';
import { languageHead, lastTokenHead, tokenHead } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import type { Gpt2Config } from './config.ts';
import { gpt2ConfigJson } from './config-json.ts';
import { gpt2Needs } from './needs.ts';

const tokenTable: Path = 'transformer.wte';
const positionTable: Path = 'transformer.wpe';

/** Factor of the scores of a layer. */
const scoreScale = ({ headDim, scaleAttnWeights, scaleAttnByInverseLayerIdx }: Gpt2Config, layer: number): number =>
  ((scaleAttnWeights ?? true) ? headDim ** -0.5 : 1) / (scaleAttnByInverseLayerIdx ? layer + 1 : 1);

const selfAttention =
  (path: Path, layer: number, config: Gpt2Config, { linear, attend }: Forward) =>
  (x: Tensor): Tensor => {
    const { hiddenSize, headDim } = config;
    const qkv = linear(`${path}.c_attn`, x); // [batch, tokens, 3·hidden]: all queries, then all keys, then all values
    const heads = (third: number): Tensor =>
      splitHeads(slice(qkv, { axis: 2, start: third * hiddenSize, end: (third + 1) * hiddenSize }), headDim);
    return linear(
      `${path}.c_proj`,
      joinHeads(attend(path, heads(0), { k: heads(1), v: heads(2) }, { scale: scoreScale(config, layer) })),
    );
  };

const feedForward =
  (path: Path, { activation }: Gpt2Config, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(`${path}.c_proj`, activations[activation](linear(`${path}.c_fc`, x)));

const checkConfig = ({ hiddenSize, heads, headDim }: Gpt2Config): void => {
  if (heads * headDim !== hiddenSize)
    throw new PeftError(
      'bad-config',
      `gpt2: ${heads} heads of headDim ${headDim} do not make the hiddenSize ${hiddenSize}; heads · headDim must equal it`,
    );
};

const tower = (config: Gpt2Config): TowerSpec => {
  checkConfig(config);
  const { hiddenSize, heads, headDim, maxPositions } = config;
  const blocks = Array.from({ length: config.layers }, (_, i) => `transformer.h.${i}`);
  const attns = blocks.map((path) => `${path}.attn`);
  const mlps = blocks.map((path) => `${path}.mlp`);
  return {
    name: 'decoder',
    attends: 'before',
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
      norm: [...blocks.flatMap((path) => [`${path}.ln_1`, `${path}.ln_2`]), 'transformer.ln_f'],
      heads: attns,
      kv: attns,
      head: ['lm_head'],
    },
    positionTable,
    layers: (forward) => (x, layer) => {
      const [block, attnPath, mlpPath] = [blocks[layer]!, attns[layer]!, mlps[layer]!];
      const attn = forward.at('attn', attnPath, selfAttention(attnPath, layer, config, forward), x);
      const h = add(x, attn(forward.norm(`${block}.ln_1`, x)));
      const mlp = forward.at('mlp', mlpPath, feedForward(mlpPath, config, forward), h);
      return add(h, mlp(forward.norm(`${block}.ln_2`, h)));
    },
    finish: (forward, x) => forward.norm('transformer.ln_f', x),
  };
};

/**
 * GPT-2 decoders: learned positions, LayerNorm before each half, one layer `c_attn` for queries, keys and values, an MLP of two
 * layers. Paths are Hugging Face's module paths; the weights become variables named as its tensors and read when first used, matrices
 * as [out, in] where its checkpoints have [in, out]. With tied embeddings `lm_head` is a layer over the token table's variable.
 * Building throws `bad-config` where the heads do not make the width. Radford et al., 2019 (Language Models are Unsupervised Multitask
 * Learners).
 */
export const gpt2: Family<Gpt2Config> = {
  modelType: 'gpt2',
  parser: async () => (await import('./config.ts')).parseGpt2,
  configJson: gpt2ConfigJson,
  needs: gpt2Needs,
  towers: (config) => [tower(config)],
  parts: ({ normEps, tieWordEmbeddings }, tensors) =>
    partsOfTensors(tensors, {
      embeddings: [tokenTable, positionTable],
      isNorm: (path) => /\.ln_\w+$/.test(path),
      norm: (values) => layerNormLayer(values, normEps),
      tied: tieWordEmbeddings ? ['lm_head', tokenTable] : null,
    }),
  layout: {
    ignored: /(^|\.)h\.\d+\.attn\.(bias|masked_bias)$/,
    transposed: /\.(c_attn|c_proj|c_fc)\.weight$/,
    prefix: 'transformer.',
  },
  roles: [
    { role: 'query', name: 'c_attn', share: [0, 3] },
    { role: 'key', name: 'c_attn', share: [1, 3] },
    { role: 'value', name: 'c_attn', share: [2, 3] },
    { role: 'attn-out', name: 'attn.c_proj' },
    { role: 'up', name: 'c_fc' },
    { role: 'down', name: 'mlp.c_proj' },
    { role: 'head', name: 'lm_head' },
    { role: 'head', name: 'classifier' },
    { role: 'head', name: 'qa_outputs' },
  ],
  defaultTargets: {
    lora: ['c_attn'],
    spectral: ['mlp.c_proj'],
    ia3: ['c_attn', 'mlp.c_proj'],
    ia3Feedforward: ['mlp.c_proj'],
    adapterHubIntermediate: ['c_fc'],
    adapterHubOutput: ['mlp.c_proj'],
    adapterHubPrefix: ['transformer'],
    normAfterAttention: ['ln_2'],
  },
  heads: {
    causalLM: languageHead('GPT2LMHeadModel'),
    sequenceClassifier: lastTokenHead('GPT2ForSequenceClassification'),
    tokenClassifier: tokenHead('GPT2ForTokenClassification', 'classifier'),
    questionAnswering: tokenHead('GPT2ForQuestionAnswering', 'qa_outputs'),
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
