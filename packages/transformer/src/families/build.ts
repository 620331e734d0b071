import type { ModelConfig } from '../config/model-config.ts';
import type { CausalLM, TaskModel } from '../task-model.ts';
import { causalLM } from '../tasks/causal-lm.ts';
import type { Task } from '../tasks/task.ts';
import { randomValues, type WeightSource } from '../weights.ts';
import { familyOfConfig } from './index.ts';
import { modelWith, needsOf } from './model-with.ts';

/** The model of whatever family a config names. Throws `unknown-architecture`; `bad-option` for a task that it has no head for. */
export function buildModel(config: ModelConfig, weights: WeightSource): CausalLM;
export function buildModel<Out>(config: ModelConfig, weights: WeightSource, task: Task<Out>): TaskModel<Out>;
export function buildModel(
  config: ModelConfig,
  weights: WeightSource,
  task: Task<unknown> = causalLM(),
): TaskModel<unknown> {
  return modelWith(familyOfConfig(config), config, weights, task);
}

/**
 * Random first weights for a config: matrices from N(0, 0.02²), those that write to the residual stream from N(0, 0.02² / (2·layers)),
 * norms 1, biases 0. Each tensor depends on the seed and its name alone. Radford et al., 2019 (GPT-2, section 2.3).
 */
export const randomWeights = (config: ModelConfig, seed: number, task: Task<unknown> = causalLM()): WeightSource =>
  randomValues(needsOf(familyOfConfig(config), config, task), config.layers, seed);
