import { wholeWords } from '@peftjs/cli/shared';
import { attach } from '@peftjs/core';
import { storedBytes } from '@peftjs/quant';
import type { Executor } from '@peftjs/tensor';
import { evaluateLoss, type TrainResult } from '@peftjs/trainer';
import { type CausalLM, generate, loadModel, parameters } from '@peftjs/transformer';
import { choose, usualBatch } from './chosen.ts';
import { type Loaded, loadAll } from './loaded.ts';
import type { DemoOptions } from './options.ts';
import { count, type DemoResult, linesOf, percent, reportOf } from './outcome.ts';
import { type DemoTask, runTask, sizesOf } from './run.ts';

/** The highest learning rate for all weights: the best of 5e-4, 1e-3, 2e-3 and 4e-3 at the default steps. */
const fullRate = 2e-3;

/** The opening of the held-out text, which both models continue: its words, and its tokens after an end of text. */
const promptOf = ({ text, tokenizer, endOfText }: Loaded): { readonly words: string; readonly ids: Int32Array } => {
  const opening = tokenizer.decode(text.heldOut.rows[0]!.subarray(0, Math.min(48, text.heldOut.context / 2)), {
    skipSpecial: true,
  });
  const words = opening.split(' ').slice(0, 14).join(' ');
  return { words, ids: Int32Array.of(endOfText, ...tokenizer.encode(words, { special: false })) };
};

const lastLoss = (result: TrainResult): number => result.heldOut.at(-1)!.loss;

const taskOf = async (
  loaded: Loaded,
  options: DemoOptions,
  executor: Executor,
): Promise<DemoTask<DemoResult, CausalLM>> => {
  const { dense, model, text, tokenizer } = loaded;
  const { seed, steps, batch: batchSize = usualBatch, measurements = 8 } = options;
  const chosen = await choose(options, loaded, executor);
  const adapted = attach(model, [chosen.method], { seed });
  const trainable = sizesOf(adapted.params.values());
  const total = sizesOf(parameters(dense).values());
  const learned = text.train.rows.length * text.train.context;
  const prompt = promptOf(loaded);
  const maxTokens = Math.min(96, model.config.maxPositions - prompt.ids.length);
  const sample = async (of: CausalLM): Promise<string> => {
    const ids = await generate(of, { executor, prompt: prompt.ids, maxTokens, temperature: 0.7, topK: 40, seed });
    const words = tokenizer.decode(ids);
    return ids.length < maxTokens ? words : wholeWords(words);
  };
  const lossOf = async (of: CausalLM): Promise<number> =>
    (await evaluateLoss(of, text.heldOut, { executor, batchSize })).loss;
  return {
    adapted,
    chosen,
    total,
    opening:
      `Base model: ${count(total)} parameters. ${chosen.label}: ${count(trainable)}, ${percent(trainable, total)}.\n` +
      `Text: ${text.name}, ${count(learned)} tokens to learn from. Device: ${executor.description}.\n`,
    baseName: loaded.name,
    madeOf: [loaded.dir, ...text.train.rows],
    training: {
      data: text.train,
      batchSize,
      heldOut: { data: text.heldOut, every: Math.max(1, Math.ceil(steps / measurements)) },
    },
    fullRate,
    copy: () => loadModel(loaded.dir),
    lossOf,
    tell: async (tune) => {
      const baseLoss = await lossOf(model);
      const before = await sample(model);
      const { tuned, full, figures } = await tune();
      const after = await sample(adapted.model);
      const result: DemoResult = {
        ...figures,
        baseLoss,
        tunedLoss: lastLoss(tuned),
        fullLoss: full && lastLoss(full),
        tokensPerSecond: tuned.tokensPerSecond,
        baseBytes: storedBytes(model),
        baseHalfBytes: storedBytes(dense) / 2,
      };
      const findings = {
        label: chosen.label,
        textName: text.name,
        summary: `A base model of ${count(total)} parameters${options.quantize ? ` in ${options.quantize}` : ''}, ${steps} steps of ${batchSize} × ${text.train.context} tokens, seed ${seed}, on ${executor.description}.`,
        prompt: prompt.words,
        before,
        after,
        tuned,
        full,
      };
      return { result, report: reportOf(result, findings), lines: linesOf(result, findings) };
    },
  };
};

/**
 * The whole way: load the base, measure, attach LoRA, train, measure, sample, save, load again, report. Throws `PeftError` for what the
 * user can mend; then nothing is left in the output folder.
 */
export const runDemo = async (options: DemoOptions): Promise<DemoResult> => {
  const started = performance.now();
  const loaded = await loadAll(options);
  return runTask(options, (executor) => taskOf(loaded, options, executor), started);
};
