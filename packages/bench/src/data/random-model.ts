import { normalValues, randomSource } from '@peftjs/tensor';
import { buildModel, type CausalLM, type ModelConfig, parseConfig, type WeightSource } from '@peftjs/transformer';
import type { ModelShape } from '../tasks/task.ts';

const configOf = (m: ModelShape, positions: number): Promise<ModelConfig> =>
  parseConfig({
    model_type: m.biased ? 'qwen2' : 'llama',
    hidden_size: m.hidden,
    num_hidden_layers: m.layers,
    num_attention_heads: m.heads,
    num_key_value_heads: m.keyValueHeads,
    // Qwen 2 has no field for it.
    ...(!m.biased && { head_dim: m.hidden / m.heads }),
    intermediate_size: m.inner,
    vocab_size: m.vocabulary,
    max_position_embeddings: positions,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: m.tied ?? false,
  });

/** N(0, 1/in) for matrices: with tiny weights every loss is near ln(vocabulary), whatever a stack computes. */
const weights = (seed: number): WeightSource => ({
  has: () => true,
  load: (name, shape) => () =>
    shape.length < 2
      ? name.endsWith('.bias')
        ? normalValues(shape[0]!, 0.1, randomSource(seed, name))
        : new Float32Array(shape[0]!).fill(1)
      : normalValues(shape[0]! * shape[1]!, 1 / Math.sqrt(shape[1]!), randomSource(seed, name)),
});

/** A decoder with random weights that depend on its shape and the seed alone. */
export const randomModel = async (shape: ModelShape, positions: number, seed: number): Promise<CausalLM> =>
  buildModel(await configOf(shape, positions), weights(seed));
