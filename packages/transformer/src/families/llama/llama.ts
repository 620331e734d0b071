import { add, mul, ropePair, silu, type Tensor } from '@peftjs/tensor';
import { joinHeads, splitHeads } from '../../heads.ts';
import { rmsNormLayer } from '../../norm.ts';
import type { Forward } from '../../run-tower.ts';
import type { Path } from '../../sites.ts';
import type { TowerSpec } from '../../tower-spec.ts';
import type { Family } from '../family.ts';
import { languageHead, lastTokenHead } from '../heads.ts';
import { partsOfTensors } from '../parts-of.ts';
import { ropeTable } from '../rope-table.ts';
import type { LlamaConfig } from './config.ts';
import { llamaConfigJson } from './config-json.ts';
import { llamaNeeds } from './needs.ts';

const tokenTable: Path = 'model.embed_tokens';

const selfAttention =
  (path: Path, { headDim }: LlamaConfig, cos: Tensor, sin: Tensor, { linear, attend }: Forward) =>
  (x: Tensor): Tensor => {
    const heads = (name: string): Tensor => splitHeads(linear(`${path}.${name}`, x), headDim);
    const [q, k] = ropePair(heads('q_proj'), heads('k_proj'), cos, sin);
    return linear(`${path}.o_proj`, joinHeads(attend(path, q, { k, v: heads('v_proj') })));
  };

/** down(silu(gate(x)) · up(x)). Shazeer, 2020. https://arxiv.org/abs/2002.05202 */
const gatedMlp =
  (path: Path, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(`${path}.down_proj`, mul(silu(linear(`${path}.gate_proj`, x)), linear(`${path}.up_proj`, x)));

const tower = (config: LlamaConfig): TowerSpec => {
  const { hiddenSize, heads, keyValueHeads, headDim, maxPositions } = config;
  const blocks = Array.from({ length: config.layers }, (_, i) => `model.layers.${i}`);
  const attns = blocks.map((path) => `${path}.self_attn`);
  return {
    name: 'decoder',
    attends: 'before',
    tokenTable,
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
      mlp: blocks.map((path) => `${path}.mlp`),
      norm: [
        ...blocks.flatMap((path) => [`${path}.input_layernorm`, `${path}.post_attention_layernorm`]),
        'model.norm',
      ],
      kv: attns,
      head: ['lm_head'],
    },
    positionTable: null,
    layers: (forward) => {
      const angles = (part: 'cos' | 'sin'): Tensor =>
        forward.positionRows((start, count) => ropeTable(config, headDim, start, count)[part]);
      const [cos, sin] = [angles('cos'), angles('sin')];
      return (x, layer) => {
        const path = blocks[layer]!;
        const [attnPath, mlpPath] = [attns[layer]!, `${path}.mlp`];
        const attn = forward.at('attn', attnPath, selfAttention(attnPath, config, cos, sin, forward), x);
        const h = add(x, attn(forward.norm(`${path}.input_layernorm`, x)));
        const mlp = forward.at('mlp', mlpPath, gatedMlp(mlpPath, forward), h);
        return add(h, mlp(forward.norm(`${path}.post_attention_layernorm`, h)));
      };
    },
    finish: (forward, x) => forward.norm('model.norm', x),
  };
};

/**
 * Llama-type decoders: RMSNorm, rotary positions, grouped key/value heads, gated SiLU MLP. Paths are Hugging Face's module paths; the
 * weights become variables named as its tensors, read when first used. With tied embeddings `lm_head` is a layer over the embedding's
 * variable. Touvron et al., 2023. https://arxiv.org/abs/2302.13971
 */
export const llama: Family<LlamaConfig> = {
  modelType: 'llama',
  parser: async () => (await import('./config.ts')).parseLlama,
  configJson: llamaConfigJson,
  needs: llamaNeeds,
  towers: (config) => [tower(config)],
  parts: ({ normEps, tieWordEmbeddings }, tensors) =>
    partsOfTensors(tensors, {
      embeddings: [tokenTable],
      isNorm: (path) => path.endsWith('norm'),
      norm: (values) => rmsNormLayer(values, normEps),
      tied: tieWordEmbeddings ? ['lm_head', tokenTable] : null,
    }),
  layout: { ignored: /\.rotary_emb\.inv_freq$/, prefix: 'model.' },
  roles: [
    { role: 'query', name: 'q_proj' },
    { role: 'key', name: 'k_proj' },
    { role: 'value', name: 'v_proj' },
    { role: 'attn-out', name: 'o_proj' },
    { role: 'gate', name: 'gate_proj' },
    { role: 'up', name: 'up_proj' },
    { role: 'down', name: 'down_proj' },
    { role: 'head', name: 'lm_head' },
  ],
  defaultTargets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['k_proj', 'v_proj', 'down_proj'],
    ia3Feedforward: ['down_proj'],
    beft: ['v_proj'],
    adapterHubIntermediate: ['down_proj'],
  },
  heads: {
    causalLM: languageHead('LlamaForCausalLM'),
    sequenceClassifier: lastTokenHead('LlamaForSequenceClassification'),
  },
  narrow: (config, reduction, layers) => {
    const part = (size: number): number => Math.max(1, Math.round(size / reduction));
    return {
      ...config,
      layers,
      intermediateSize: part(config.intermediateSize),
      vocabSize: 1,
      tieWordEmbeddings: true,
      hiddenSize: part(config.hiddenSize),
      // Rotary positions turn pairs.
      headDim: 2 * part(config.headDim / 2),
    };
  },
};
