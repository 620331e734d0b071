import type { Batch, Stream, TokenRows } from '@peftjs/data';
import { requireModel, type TaskModel } from '@peftjs/transformer';
import { type Evaluation, type EvaluationOptions, makeEvaluator } from './evaluator.ts';

/**
 * Measures a model on rows of tokens, `batchSize` at a time, or on the batches of a stream without `repeat`: its loss, and the measures of its task's
 * predictions over all rows. Of a language model the perplexity; what it writes is measured by `rouge`, `bleu` and `answerScores`. Throws `bad-data` where nothing
 * has a label, `bad-option` for a measure of other predictions.
 */
export const evaluateModel = async (
  model: TaskModel<unknown>,
  data: TokenRows | Stream<Batch>,
  options: EvaluationOptions,
): Promise<Evaluation> => {
  requireModel('evaluateModel', model);
  const evaluator = await makeEvaluator(model, data, options);
  try {
    return await evaluator.run();
  } finally {
    evaluator.close();
  }
};
