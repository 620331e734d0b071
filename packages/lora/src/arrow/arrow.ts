import type { Adapted } from '@peftjs/core';
import { checkOptions, mustBe, type OnExecutor, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';

/** How experts are chosen. */
export interface ArrowOptions<M extends Model = Model> extends OnExecutor {
  /** Experts that count for a token, at most as many as there are. Default 3. */
  readonly topK?: number;
  /** Of the softmax over them; lower is sharper. Default 1. */
  readonly temperature?: number;
  /** LoRAs of general knowledge, whose mean A and B are taken from those of each expert (GenKnowSub). Default: none. */
  readonly general?: readonly Adapted<M>[];
}

const rules: Rules<ArrowOptions> = {
  ...onExecutor,
  topK: mustBe.count,
  temperature: mustBe.positive,
  general: mustBe.such('a list of adapted models', Array.isArray),
};

/**
 * Arrow: a model in which each token is sent to some of several LoRAs over one base, without any training. The score of expert e is |vₑ·x| with vₑ the first right singular vector of its ΔW = B·A, and the
 * update Σₑ pₑ·sₑ·Bₑ·Aₑ·x with p the softmax of the `topK` largest scores over `temperature`. The experts adapt the same linear layers. With `general` adapters of the same rank the mean of their A
 * and of their B is taken from each expert's before (GenKnowSub). The result is a model for evaluation, as it has nothing to train or save: the experts are saved as they are.
 * Ostapenko et al., 2024. https://arxiv.org/abs/2405.11157. Bagherifard et al., 2025 (GenKnowSub). https://aclanthology.org/2025.acl-short.54/. As Hugging Face PEFT's `create_arrow_model`, which finds v by 15 steps of power
 * iteration; here it is found exactly, on the host. Throws `bad-option` for adapters that are no LoRA of layers alone, for unlike bases and unlike layers.
 */
export const arrow = async <M extends Model>(experts: readonly Adapted<M>[], options: ArrowOptions<M>): Promise<M> => {
  checkOptions('arrow', rules, options as ArrowOptions);
  const { executor, topK = 3, temperature = 1, general = [] } = options;
  const problems = [
    ...(experts.length === 0 ? ['there is no expert; give at least one'] : []),
    ...(topK > experts.length ? [`topK ${topK} is more than the ${experts.length} experts`] : []),
    ...([...experts, ...general].some(({ base }) => base !== experts[0]!.base)
      ? ['the adapters have unlike bases; load or attach all of them over one']
      : []),
  ];
  if (problems.length > 0) throw new PeftError('bad-option', `arrow: ${problems.join('; ')}`);
  const { routed } = await import('./routed.ts'); // with ml-matrix, which nothing else needs
  return routed(experts, general, { executor, topK, temperature });
};
