import { shipped } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import { ownRate } from './own-rate.ts';

/** The learning rate that suits it. */
export const shippedRate = 1.2e-2;

/**
 * A run that learns to write by LoRA as it suits the shipped model, where nothing was said of it: on the head too, for the words of others are what a model of this size needs most, and
 * at a high rate. Any other is as it was asked for.
 */
export const suited = (config: RunConfig): RunConfig => {
  const { model = shipped, task, objective, method, optimizer } = config;
  // What finds its rate by itself is given none.
  const rate = optimizer.rate ?? (ownRate(config) === undefined ? shippedRate : undefined);
  const writes = task.name === 'causalLM' && objective === undefined;
  if (!writes || model !== shipped || method.name !== 'lora' || Object.keys(method).length > 1) return config;
  return {
    ...config,
    method: { name: 'lora', rank: 16, alpha: 16, target: ['all-linear', 'lm_head'] },
    optimizer: { ...optimizer, ...(rate !== undefined && { rate }) },
  };
};
