import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { unknownBeforeLlama } from './decoder/other-words.ts';
import { gptLayers, normsBefore, rotaryDimOf } from './decoder/record.ts';
import type { Family } from './family.ts';

/**
 * GPT-J: one LayerNorm for both halves of a block, which read the same rows, an MLP without a gate, a part of each head rotated, neighbours together,
 * and a head with a bias. Wang & Komatsuzaki, 2021. https://github.com/kingoflolz/mesh-transformer-jax; transformers, `modeling_gptj.py`.
 */
export const gptj: Family<DecoderConfig> = decoder({
  modelType: 'gptj',
  stem: 'GPTJ',
  answers: 'transformer',
  defaults: {
    vocab_size: 50_400,
    n_embd: 4096,
    n_head: 16,
    n_layer: 28,
    n_positions: 2048,
    layer_norm_epsilon: 1e-5,
    activation_function: 'gelu_new',
    bos_token_id: 50_256,
    eos_token_id: 50_256,
    partial_rotary_factor: 1,
  },
  names: {
    root: 'transformer',
    blocks: 'h',
    tokens: 'wte',
    last: 'ln_f',
    attn: 'attn',
    attnOut: 'out_proj',
    attnOrder: ['key', 'value', 'query', 'attnOut'],
    up: 'fc_in',
    down: 'fc_out',
  },
  activationField: 'activation_function',
  epsField: 'layer_norm_epsilon',
  ignored: /\.attn\.(bias|masked_bias|embed_positions)$/,
  ownNames: {
    n_embd: 'hidden_size',
    n_head: 'num_attention_heads',
    n_layer: 'num_hidden_layers',
    n_positions: 'max_position_embeddings',
    n_inner: 'intermediate_size',
  },
  unread: unknownBeforeLlama,
  words: {
    read: ({ rotary_dim: dim = 64, ...all }) => {
      const [width, heads] = [Number(all['hidden_size']), Number(all['num_attention_heads'])];
      return {
        ...all,
        intermediate_size: all['intermediate_size'] ?? 4 * width,
        partial_rotary_factor: Number(dim ?? width / heads) / (width / heads),
      };
    },
    write: (json, config) => ({ ...json, rotary_dim: rotaryDimOf(config) }),
  },
  traits: () => ({
    ...gptLayers({ qkv: false, out: false, mlp: true }),
    parallel: true,
    headBias: true,
    rotaryPairs: 'neighbours',
    norms: normsBefore('ln_1'),
  }),
  targets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['q_proj', 'v_proj', 'fc_out'],
    ia3Feedforward: ['fc_out'],
    beft: ['v_proj'],
  },
});
