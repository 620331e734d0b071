import type { Batch, Stream, TokenRows } from '@peftjs/data';
import { checkOptions, mustBe, type OnExecutor, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import { requireModel, type TaskModel } from '@peftjs/transformer';
import { evaluationBatches, isTokenRows } from './batches.ts';
import { checkBatch, checkRows } from './check-data.ts';
import { alone, type Group } from './group.ts';
import { hasRepeated } from './has-repeated.ts';
import { makePrograms, specOf } from './programs.ts';

/** Mean loss over all that counts (tokens, rows), in nats, and how many that are. */
export interface EvaluatedLoss {
  readonly loss: number;
  readonly tokens: number;
}

/** A compiled evaluation, to be run as the weights change. */
export interface Evaluator {
  /** Throws `bad-data` for batches that do not fit the model, and where nothing has a label. */
  run(): Promise<EvaluatedLoss>;
  close(): void;
}

/** The executor of an evaluation, and its sizes. */
export interface EvaluateLossOptions extends OnExecutor {
  /** Rows at a time, of data that is rows. Default 8. */
  readonly batchSize?: number;
}

/** The same, and the processes that share the work. */
export interface EvaluatorOptions extends EvaluateLossOptions {
  /** Default: this one alone. */
  readonly group?: Group;
}

const lossRules: Rules<EvaluateLossOptions> = { ...onExecutor, batchSize: mustBe.count };

async function* batchesOf(
  model: TaskModel<unknown>,
  data: TokenRows | Stream<Batch>,
  size: number,
): AsyncGenerator<Batch> {
  if (isTokenRows(data)) return yield* evaluationBatches(data, size);
  const opened = data.open();
  let index = 0;
  for await (const batch of opened) {
    await checkBatch({ model }, { batch, name: `batch ${index++} of the evaluation`, origin: opened.origin?.() });
    if (hasRepeated(opened.cursor()))
      throw new PeftError('bad-data', 'evaluation: the data begins anew; each row counts once: leave `repeat` out');
    yield batch;
  }
}

/**
 * Compiles the mean loss of a model over rows of tokens, `batchSize` at a time, or over the batches of a stream without `repeat`. Processes of a `group` evaluate a
 * share each, of the same data.
 */
export const makeEvaluator = async (
  model: TaskModel<unknown>,
  data: TokenRows | Stream<Batch>,
  options: EvaluatorOptions,
): Promise<Evaluator> => {
  checkOptions('makeEvaluator', { ...lossRules, group: mustBe.object }, options);
  const { executor, batchSize = 8, group = alone } = options;
  if (isTokenRows(data)) checkRows('evaluation', { model }, data);
  const programs = makePrograms(executor, (inputs) => {
    const { sum, weight } = model.loss(inputs);
    return { outputs: { sum, weight } };
  });
  return {
    run: async () => {
      let [sum, tokens, index] = [0, 0, 0];
      for await (const batch of batchesOf(model, data, batchSize)) {
        if (index++ % group.size !== group.rank) continue;
        const found = await (await programs.of(specOf(batch))).run(batch.columns);
        programs.trim(new Set());
        sum += found['sum']![0]!;
        tokens += found['weight']![0]!;
      }
      if (group.size > 1) {
        // Each number as two floats, so that little of it is lost.
        const parts = Float32Array.from([sum, tokens].flatMap((x) => [Math.fround(x), x - Math.fround(x)]));
        await group.allReduce(parts);
        [sum, tokens] = [parts[0]! + parts[1]!, parts[2]! + parts[3]!];
      }
      if (tokens === 0)
        throw new PeftError('bad-data', 'evaluation: nothing in the data has a label, so there is no loss');
      return { loss: sum / tokens, tokens };
    },
    close: programs.close,
  };
};

/** Mean loss of a model over rows of tokens, `batchSize` at a time, or over the batches of a stream without `repeat`. Throws `bad-data` where nothing has a label. */
export const evaluateLoss = async (
  model: TaskModel<unknown>,
  data: TokenRows | Stream<Batch>,
  options: EvaluateLossOptions,
): Promise<EvaluatedLoss> => {
  requireModel('evaluateLoss', model);
  checkOptions('evaluateLoss', lossRules, options);
  const evaluator = await makeEvaluator(model, data, options);
  try {
    return await evaluator.run();
  } finally {
    evaluator.close();
  }
};
