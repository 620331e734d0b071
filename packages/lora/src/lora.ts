import {
  type AdapterConfig,
  kaimingUniform,
  linearMethod,
  type Method,
  type MethodFormat,
  type Target,
  zeros,
} from '@peftjs/core';
import { add, matmul, mul, PeftError } from '@peftjs/tensor';
import type { CausalLM, Linear } from '@peftjs/transformer';
import { defaultTargets, optionsOf, patternValue } from './lora-config.ts';

/** Options of `lora`. */
export interface LoraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the update. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 8. */
  readonly alpha?: number;
  /** Probability that an input of the low-rank path is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Scale by alpha / √rank, which keeps large ranks learning (rsLoRA). Kalajdzievski, 2023. https://arxiv.org/abs/2312.03732 */
  readonly rsLora?: boolean;
  /** Other ranks, by a regular expression of the path or its end after a dot: `{ 'layers\\.0\\.self_attn\\.q_proj': 16 }`; the first that fits counts. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** Other alphas, in the same way. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
}

const check = ({ rank, dropout, rankPattern, alpha }: Required<Omit<LoraOptions, 'target'>>): void => {
  for (const r of [rank, ...Object.values(rankPattern)])
    if (!Number.isInteger(r) || r < 1)
      throw new PeftError('bad-option', `lora: rank must be a whole number of at least 1, got ${r}`);
  if (!(dropout >= 0 && dropout < 1))
    throw new PeftError('bad-option', `lora: dropout must be in [0, 1), got ${dropout}`);
  if (!Number.isFinite(alpha)) throw new PeftError('bad-option', `lora: alpha must be a finite number, got ${alpha}`);
};

const checkPattern = (source: string): void => {
  try {
    new RegExp(source);
  } catch (cause) {
    throw new PeftError(
      'bad-option',
      `lora: ${JSON.stringify(source)} in a rank or alpha pattern is no regular expression`,
      { cause },
    );
  }
};

const make = (options: LoraOptions = {}): Method => {
  const { target, ...given } = options;
  const { rank, alpha, dropout, rsLora, rankPattern, alphaPattern } = {
    rank: 8,
    alpha: 8,
    dropout: 0,
    rsLora: false,
    rankPattern: {},
    alphaPattern: {},
    ...given,
  };
  check({ rank, alpha, dropout, rsLora, rankPattern, alphaPattern });
  for (const source of [...Object.keys(rankPattern), ...Object.keys(alphaPattern)]) checkPattern(source);
  const targetIn = (model: CausalLM): Target => target ?? defaultTargets[model.config.modelType]!;
  return linearMethod({
    name: 'lora',
    target: targetIn,
    wrap: (base, scope, path): Linear => {
      const r = patternValue(rankPattern, path) ?? rank;
      const scale = (patternValue(alphaPattern, path) ?? alpha) / (rsLora ? Math.sqrt(r) : r);
      const a = scope.param('lora_A.weight', [r, base.inDim], kaimingUniform);
      const b = scope.param('lora_B.weight', [base.outDim, r], zeros);
      return {
        ...base,
        apply: (x) => {
          const low = matmul(scope.dropout(x, dropout), a, { transposeB: true }); // [..., rank]
          return add(base.apply(x), mul(matmul(low, b, { transposeB: true }), scale));
        },
        dense: () => {
          const { weight, bias } = base.dense();
          return { weight: add(weight, mul(matmul(b, a), scale)), bias };
        },
      };
    },
    config: (model, paths): AdapterConfig => ({
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      inference_mode: true,
      r: rank,
      lora_alpha: alpha,
      lora_dropout: dropout,
      use_rslora: rsLora,
      rank_pattern: rankPattern,
      alpha_pattern: alphaPattern,
      bias: 'none',
      fan_in_fan_out: model.config.modelType === 'gpt2',
      init_lora_weights: true,
      target_modules: savedTarget(targetIn(model), paths),
    }),
  });
};

/** Names stay names; a predicate, a glob or a pattern is saved as the layers it named. */
const savedTarget = (target: Target, paths: readonly string[]): readonly string[] => {
  const names = typeof target === 'string' ? [target] : target;
  return Array.isArray(names) && names.every((n) => n !== 'all-linear' && !n.includes('*')) ? [...names] : paths;
};

/**
 * LoRA: y = Wx + (alpha/r)·B·A·dropout(x), A of shape [rank, in] from U(−1/√in, 1/√in), B of shape [out, rank] zero at the start; W is frozen.
 * The product BA is never formed in a training step. Merges. Throws `bad-option`, and when attached `no-match`.
 * Hu et al., 2021. https://arxiv.org/abs/2106.09685
 */
export const lora: ((options?: LoraOptions) => Method) & MethodFormat = Object.assign(make, {
  peftType: 'LORA',
  fromConfig: (config: AdapterConfig): Method => make(optionsOf(config)),
});
