import { type Chosen, flag, type Option, type Scope, zeros } from '@peftjs/core';
import { add, mul, PeftError } from '@peftjs/tensor';
import type { Linear, Path } from '@peftjs/transformer';
import { type LoraOptions, rankAndScaleOf } from './low-rank.ts';
import type { LoraInit } from './starts/first-values.ts';

/** Options of `lora`. */
export interface BiasedLoraOptions extends LoraOptions {
  /** Whether B has a bias b of shape [out]: + (alpha/r)·b, for a LoRA taken out of weights that were trained whole. Default false. */
  readonly loraBias?: boolean;
  /**
   * Parameters that are adapted beside the layers of `target`, by name or its end after a dot: stacked matrices of experts (`mlp.experts.gate_up_proj`), each
   * with factors of its own, and weights of routers (`gate.weight`). With them `target` may be an empty list. Default none.
   */
  readonly targetParameters?: readonly string[];
  /** First values of A and B. Default `uniform`. */
  readonly init?: LoraInit;
}

/** How `adapter_config.json` holds it: where there is one. */
export const loraBias: Option<boolean> = { ...flag('lora_bias', false), toJson: (given) => given || undefined };

/** The layer with b beside B, zero at the start, where that is asked for. */
export const outputBias = (layer: Linear, own: Scope, path: Path, options: Chosen<BiasedLoraOptions>): Linear => {
  if (!options.loraBias) return layer;
  const b = mul(own.param('lora_B.bias', [layer.outDim], zeros), rankAndScaleOf(path, options).scale);
  return {
    ...layer,
    apply: (x, call) => add(layer.apply(x, call), b),
    dense: () => {
      const { weight, bias } = layer.dense();
      return { weight, bias: bias ? add(bias, b) : b };
    },
  };
};

/** Options of an embedding, whose B has no bias. Throws `bad-option` where one is asked for. */
export const requireNoBias = (path: Path, options: Chosen<BiasedLoraOptions>): Chosen<LoraOptions> => {
  if (options.loraBias)
    throw new PeftError('bad-option', `lora: ${path} is an embedding, which takes no loraBias; leave it out of target`);
  return options;
};
