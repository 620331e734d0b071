import type { Objective } from '@peftjs/core';
import type { Batch, Stream, TokenRows } from '@peftjs/data';
import { checkOptions, mustBe, type OnExecutor, onExecutor, type Rules } from '@peftjs/tensor';
import { requireModel, type TaskModel } from '@peftjs/transformer';
import { makeEvaluator } from './evaluator.ts';

/** Mean loss over all that counts (tokens, rows, pairs), in nats, and how many that are. */
export interface EvaluatedLoss {
  readonly loss: number;
  readonly tokens: number;
  /** Means of what the objective reports beside the loss, by name. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** The executor of an evaluation, and its sizes. */
export interface EvaluateLossOptions extends OnExecutor {
  /** Rows at a time, of data that is rows. Default 8. */
  readonly batchSize?: number;
  /** The loss, of views without chance: `dpo()`. Default: the task's own. */
  readonly objective?: Objective<never>;
  /** The model without the adapter, for an objective that compares with it. */
  readonly base?: TaskModel<unknown>;
}

const lossRules: Rules<EvaluateLossOptions> = {
  ...onExecutor,
  batchSize: mustBe.count,
  objective: mustBe.fn,
  base: mustBe.object,
};

/** Mean loss of a model over rows of tokens, `batchSize` at a time, or over the batches of a stream without `repeat`. Throws `bad-data` where nothing has a label. */
export const evaluateLoss = async (
  model: TaskModel<unknown>,
  data: TokenRows | Stream<Batch>,
  options: EvaluateLossOptions,
): Promise<EvaluatedLoss> => {
  requireModel('evaluateLoss', model);
  checkOptions('evaluateLoss', lossRules, options);
  const evaluator = await makeEvaluator(model, data, { ...options, metrics: [] });
  try {
    return await evaluator.run();
  } finally {
    evaluator.close();
  }
};
