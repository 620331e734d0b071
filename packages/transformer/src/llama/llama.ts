import type { LlamaConfig } from '@peftjs/io';
import { add, mul, ropePair, silu, type Tensor, type Variable, variable } from '@peftjs/tensor';
import type { CausalLM } from '../causal-lm.ts';
import { type Architecture, decoder } from '../decoder.ts';
import { denseEmbedding } from '../embedding.ts';
import type { Forward } from '../forward.ts';
import { joinHeads, splitHeads } from '../heads.ts';
import { denseLinear, type Linear } from '../linear.ts';
import { type Norm, rmsNormLayer } from '../norm.ts';
import { untouched } from '../parts.ts';
import type { Path } from '../sites.ts';
import type { WeightSource } from '../weights.ts';
import { llamaNeeds } from './needs.ts';
import { ropeTable } from './rope-table.ts';

const selfAttention =
  (path: Path, layer: number, { headDim }: LlamaConfig, cos: Tensor, sin: Tensor, { linear, attend }: Forward) =>
  (x: Tensor): Tensor => {
    const heads = (name: string): Tensor => splitHeads(linear(`${path}.${name}`, x), headDim);
    const [q, k] = ropePair(heads('q_proj'), heads('k_proj'), cos, sin);
    return linear(`${path}.o_proj`, joinHeads(attend(path, layer, q, { k, v: heads('v_proj') })));
  };

/** down(silu(gate(x)) · up(x)). Shazeer, 2020. https://arxiv.org/abs/2002.05202 */
const gatedMlp =
  (path: Path, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(`${path}.down_proj`, mul(silu(linear(`${path}.gate_proj`, x)), linear(`${path}.up_proj`, x)));

const architecture = (config: LlamaConfig): Architecture => {
  const blocks = Array.from({ length: config.layers }, (_, i) => `model.layers.${i}`);
  const attns = blocks.map((path) => `${path}.self_attn`);
  return {
    paths: {
      embed: ['model.embed_tokens'],
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
    finalNorm: 'model.norm',
    positionTable: null,
    layers: (forward) => {
      const angles = (part: 'cos' | 'sin'): Tensor =>
        forward.positionRows((start, count) => ropeTable(config, config.headDim, start, count)[part]);
      const [cos, sin] = [angles('cos'), angles('sin')];
      return (x, layer) => {
        const path = blocks[layer]!;
        const attn = forward.at(
          'attn',
          `${path}.self_attn`,
          layer,
          selfAttention(`${path}.self_attn`, layer, config, cos, sin, forward),
          x,
        );
        const h = add(x, attn(forward.norm(`${path}.input_layernorm`, layer, x)));
        const mlp = forward.at('mlp', `${path}.mlp`, layer, gatedMlp(`${path}.mlp`, forward), h);
        return add(h, mlp(forward.norm(`${path}.post_attention_layernorm`, layer, h)));
      };
    },
  };
};

const isNorm = (path: Path): boolean => path.endsWith('norm');

/**
 * A Llama-type decoder: RMSNorm, rotary positions, grouped key/value heads, gated SiLU MLP. Paths are Hugging Face's module paths; the
 * weights become variables named as its tensors, read when first used. With tied embeddings `lm_head` is a layer over the embedding's
 * variable. Touvron et al., 2023. https://arxiv.org/abs/2302.13971
 */
export const llama = (config: LlamaConfig, weights: WeightSource): CausalLM => {
  const tensors = new Map<string, Variable>();
  for (const [name, { shape }] of llamaNeeds(config))
    tensors.set(name, variable(name, shape, weights.load(name, shape)));
  const linears = new Map<Path, Linear>();
  const norms = new Map<Path, Norm>();
  for (const [name, weight] of tensors) {
    const path = name.slice(0, name.lastIndexOf('.'));
    if (!name.endsWith('.weight') || path === 'model.embed_tokens') continue;
    if (isNorm(path)) norms.set(path, rmsNormLayer({ weight, bias: null }, config.normEps));
    else linears.set(path, denseLinear({ weight, bias: tensors.get(`${path}.bias`) ?? null }));
  }
  const table = tensors.get('model.embed_tokens.weight')!;
  if (config.tieWordEmbeddings) linears.set('lm_head', denseLinear({ weight: table, bias: null }));
  const embeddings = new Map([['model.embed_tokens', denseEmbedding(table)]]);
  return decoder(config, architecture(config), { linears, norms, embeddings, ...untouched });
};
