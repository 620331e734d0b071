import type { Gpt2Config } from '@peftjs/io';
import { add, gelu, PeftError, relu, silu, slice, type Tensor, type Variable, variable } from '@peftjs/tensor';
import type { CausalLM } from '../causal-lm.ts';
import { type Architecture, decoder } from '../decoder.ts';
import { denseEmbedding } from '../embedding.ts';
import type { Forward } from '../forward.ts';
import { joinHeads, splitHeads } from '../heads.ts';
import { denseLinear, type Linear } from '../linear.ts';
import { layerNormLayer, type Norm } from '../norm.ts';
import { untouched } from '../parts.ts';
import type { Path } from '../sites.ts';
import type { WeightSource } from '../weights.ts';
import { gpt2Needs } from './needs.ts';

const tokenTable: Path = 'transformer.wte';
const positionTable: Path = 'transformer.wpe';

const activations: { readonly [A in Gpt2Config['activation']]: (x: Tensor) => Tensor } = {
  'gelu-tanh': (x) => gelu(x, { approximate: 'tanh' }),
  gelu: (x) => gelu(x),
  relu,
  silu,
};

const selfAttention =
  (path: Path, layer: number, { hiddenSize, headDim }: Gpt2Config, { linear, attend }: Forward) =>
  (x: Tensor): Tensor => {
    const qkv = linear(`${path}.c_attn`, x); // [batch, tokens, 3·hidden]: all queries, then all keys, then all values
    const heads = (third: number): Tensor =>
      splitHeads(slice(qkv, { axis: 2, start: third * hiddenSize, end: (third + 1) * hiddenSize }), headDim);
    return linear(`${path}.c_proj`, joinHeads(attend(path, layer, heads(0), { k: heads(1), v: heads(2) })));
  };

const mlp =
  (path: Path, { activation }: Gpt2Config, { linear }: Forward) =>
  (x: Tensor): Tensor =>
    linear(`${path}.c_proj`, activations[activation](linear(`${path}.c_fc`, x)));

const architecture = (config: Gpt2Config): Architecture => {
  const blocks = Array.from({ length: config.layers }, (_, i) => `transformer.h.${i}`);
  const attns = blocks.map((path) => `${path}.attn`);
  const mlps = blocks.map((path) => `${path}.mlp`);
  return {
    paths: {
      embed: [tokenTable],
      block: blocks,
      attn: attns,
      mlp: mlps,
      norm: [...blocks.flatMap((path) => [`${path}.ln_1`, `${path}.ln_2`]), 'transformer.ln_f'],
      kv: attns,
      head: ['lm_head'],
    },
    finalNorm: 'transformer.ln_f',
    positionTable,
    layers: (forward) => (x, layer) => {
      const [block, attnPath, mlpPath] = [blocks[layer]!, attns[layer]!, mlps[layer]!];
      const attn = forward.at('attn', attnPath, layer, selfAttention(attnPath, layer, config, forward), x);
      const h = add(x, attn(forward.norm(`${block}.ln_1`, layer, x)));
      const feedForward = forward.at('mlp', mlpPath, layer, mlp(mlpPath, config, forward), h);
      return add(h, feedForward(forward.norm(`${block}.ln_2`, layer, h)));
    },
  };
};

const checkConfig = ({ hiddenSize, heads, headDim }: Gpt2Config): void => {
  if (heads * headDim !== hiddenSize)
    throw new PeftError(
      'bad-config',
      `gpt2: ${heads} heads of headDim ${headDim} do not make the hiddenSize ${hiddenSize}; heads · headDim must equal it`,
    );
};

/**
 * A GPT-2 decoder: learned positions, LayerNorm before each half, one layer `c_attn` for queries, keys and values, an MLP of two
 * layers. Paths are Hugging Face's module paths; the weights become variables named as its tensors and read when first used, matrices
 * as [out, in] where its checkpoints have [in, out]. With tied embeddings `lm_head` is a layer over the token table's variable.
 * Throws `bad-config` where the heads do not make the width. Radford et al., 2019 (Language Models are Unsupervised Multitask Learners).
 */
export const gpt2 = (config: Gpt2Config, weights: WeightSource): CausalLM => {
  checkConfig(config);
  const tensors = new Map<string, Variable>();
  for (const [name, { shape }] of gpt2Needs(config))
    tensors.set(name, variable(name, shape, weights.load(name, shape)));
  const linears = new Map<Path, Linear>();
  const norms = new Map<Path, Norm>();
  const embeddings = new Map(
    [tokenTable, positionTable].map((path) => [path, denseEmbedding(tensors.get(`${path}.weight`)!)]),
  );
  for (const [name, weight] of tensors) {
    const path = name.slice(0, name.lastIndexOf('.'));
    if (!name.endsWith('.weight') || embeddings.has(path)) continue;
    const values = { weight, bias: tensors.get(`${path}.bias`) ?? null };
    if (weight.shape.length === 1) norms.set(path, layerNormLayer(values, config.normEps));
    else linears.set(path, denseLinear(values));
  }
  if (config.tieWordEmbeddings)
    linears.set('lm_head', denseLinear({ weight: embeddings.get(tokenTable)!.weight, bias: null }));
  return decoder(config, architecture(config), { linears, norms, embeddings, ...untouched });
};
