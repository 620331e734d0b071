import { type ModelConfig, parseConfig } from '@peftjs/transformer';

/** A published model, as far as a plan needs it. */
export interface PublicModel {
  readonly name: string;
  readonly source: string;
  config(): Promise<ModelConfig>;
}

const llama = (own: Readonly<Record<string, number>>): Promise<ModelConfig> =>
  parseConfig({ model_type: 'llama', head_dim: 64, rms_norm_eps: 1e-5, tie_word_embeddings: true, ...own });

/** The models that are planned for: sizes from their published `config.json`. */
export const models: readonly PublicModel[] = [
  {
    name: 'SmolLM2-135M',
    source: 'https://huggingface.co/HuggingFaceTB/SmolLM2-135M',
    config: () =>
      llama({
        hidden_size: 576,
        num_hidden_layers: 30,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        intermediate_size: 1536,
        vocab_size: 49152,
        max_position_embeddings: 8192,
      }),
  },
  {
    name: 'Llama-3.2-1B',
    source: 'https://huggingface.co/meta-llama/Llama-3.2-1B',
    config: () =>
      llama({
        hidden_size: 2048,
        num_hidden_layers: 16,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        intermediate_size: 8192,
        vocab_size: 128256,
        max_position_embeddings: 131072,
      }),
  },
];
