import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { expertsBy } from './decoder/experts.ts';
import type { Family } from './family.ts';

/** Mixtral: a Mistral with experts in place of the MLP in all layers. Jiang et al., 2024. https://arxiv.org/abs/2401.04088 */
export const mixtral: Family<DecoderConfig> = decoder({
  modelType: 'mixtral',
  stem: 'Mixtral',
  tags: 'score',
  answers: 'model',
  defaults: {
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    rms_norm_eps: 1e-5,
    rope_theta: 1_000_000,
    bos_token_id: 1,
    eos_token_id: 2,
  },
  fields: {
    slidingWindow: null,
    numLocalExperts: 8,
    numExpertsPerTok: 2,
    outputRouterLogits: false,
    routerAuxLossCoef: 0.001,
    routerJitterNoise: 0,
  },
  expertFiles: { gate: 'w1', up: 'w3', down: 'w2', names: [[/\.mlp\./, '.block_sparse_moe.']] },
  traits: ({ intermediateSize, fields = {} }) => ({
    biases: { qkv: false, out: false, mlp: false },
    window: () => fields.slidingWindow ?? null,
    experts: expertsBy(fields, {
      count: fields.numLocalExperts ?? 0,
      perToken: fields.numExpertsPerTok ?? 2,
      width: intermediateSize,
    }),
  }),
  targets: {
    lora: ['q_proj', 'v_proj'],
    beft: ['v_proj'],
  },
});
