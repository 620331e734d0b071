import type { ModelConfig } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { CausalLM } from './causal-lm.ts';
import type { CheckpointLayout } from './checkpoint-layout.ts';
import { gpt2ConfigJson } from './gpt2/config-json.ts';
import { gpt2 } from './gpt2/gpt2.ts';
import { gpt2Needs } from './gpt2/needs.ts';
import { llamaConfigJson } from './llama/config-json.ts';
import { llama } from './llama/llama.ts';
import { llamaNeeds } from './llama/needs.ts';
import { randomValues, type TensorNeeds, type WeightSource } from './weights.ts';

/** How the models of one `model_type` are built and written. */
interface Family<C extends ModelConfig> {
  build(config: C, weights: WeightSource): CausalLM;
  needs(config: C): TensorNeeds;
  configJson(config: C): Readonly<Record<string, unknown>>;
  readonly layout: CheckpointLayout;
}

type ConfigOf<T> = Extract<ModelConfig, { readonly modelType: T }>;

const families: { readonly [T in ModelConfig['modelType']]: Family<ConfigOf<T>> } = {
  llama: {
    build: llama,
    needs: llamaNeeds,
    configJson: llamaConfigJson,
    layout: { ignored: /\.rotary_emb\.inv_freq$/ },
  },
  gpt2: {
    build: gpt2,
    needs: gpt2Needs,
    configJson: gpt2ConfigJson,
    layout: {
      ignored: /(^|\.)h\.\d+\.attn\.(bias|masked_bias)$/,
      transposed: /\.(c_attn|c_proj|c_fc)\.weight$/,
      prefix: 'transformer.',
    },
  },
};

/** The family of a config. Throws `unknown-architecture` with those there are. */
export const familyOf = <C extends ModelConfig>(config: C): Family<C> => {
  const family = Object.hasOwn(families, config.modelType) ? families[config.modelType] : undefined;
  if (family) return family as unknown as Family<C>;
  const known = Object.keys(families).join(', ');
  throw new PeftError(
    'unknown-architecture',
    `model: architecture ${String(config.modelType)} cannot be built; there are ${known}. Choose a model of one of these.`,
  );
};

/** A model of whatever architecture its config names. Throws `unknown-architecture`. */
export const buildModel = (config: ModelConfig, weights: WeightSource): CausalLM =>
  familyOf(config).build(config, weights);

/**
 * Random first weights for a config: matrices from N(0, 0.02²), those that write to the residual stream from N(0, 0.02² / (2·layers)),
 * norms 1, biases 0. Each tensor depends on the seed and its name alone. Radford et al., 2019 (GPT-2, section 2.3).
 */
export const randomWeights = (config: ModelConfig, seed: number): WeightSource =>
  randomValues(familyOf(config).needs(config), config.layers, seed);
