import { batch, flatMap, ignored, pipe } from '@peftjs/data';
import { PeftError } from '@peftjs/tensor';
import { type Evaluation, evaluateLoss } from '@peftjs/trainer';
import { counted } from '../bar.ts';
import type { Call } from '../commands.ts';
import { readRunConfig } from '../config/read.ts';
import type { RunConfig } from '../config/schema.ts';
import { type Context, count, result } from '../context.ts';
import { type Example, encodeExample } from '../data/encode-example.ts';
import { lengthStep } from '../data/examples.ts';
import { openItems } from '../data/open-items.ts';
import { evaluateRun } from '../learn/evaluate-run.ts';
import { runConfigAt } from '../learn/open-run.ts';
import { numberIn } from '../sampling.ts';
import { deviceOf, withSession } from '../session.ts';
import { runFiles } from '../train/run-folder.ts';

const figures = ({ loss, metrics }: Evaluation): string =>
  [`loss ${loss.toFixed(4)}`, ...Object.entries(metrics).map(([name, value]) => `${name} ${value.toFixed(4)}`)].join(
    ', ',
  );

/** Measures a run whose task is not writing, or whose loss is not the task's. */
const runOfTask = async (
  config: RunConfig,
  adapter: string,
  options: Call['options'],
  context: Context,
): Promise<void> => {
  const executor = await deviceOf(options);
  try {
    const found = await evaluateRun(config, adapter, executor, {
      context: numberIn(options, 'context', true),
      shown: context,
    });
    const { unit, examples, tuned, base } = found;
    const text = [
      `${figures(tuned)} (${config.task.name}, nats per ${unit})`,
      `${count(examples)} examples`,
      `the base without the adapter: ${figures(base)}`,
    ];
    result(context, { ...tuned, examples, baseLoss: base.loss, baseMetrics: base.metrics }, text.join('\n'));
  } finally {
    await executor.close();
  }
};

/** The configuration of a run that `evaluate` measures by its own task; null for a language model's, and for what is no run. */
const taskRun = async (path: string | undefined, options: Call['options']): Promise<RunConfig | null> => {
  const config = await runConfigAt(path, options);
  return config && (config.task.name !== 'causalLM' || config.objective?.name) ? config : null;
};

/** `peftjs evaluate`: the mean loss of what is learnt of examples, with the adapter and without. */
export const run = async ({ args, options, context }: Call): Promise<void> => {
  const data = options['data'] as readonly string[] | undefined;
  if (!data) throw new PeftError('bad-option', 'evaluate: give the examples with --data');
  // The defaults of a run hold here too.
  const config = await readRunConfig(undefined, [{ path: ['data'], value: data }]);
  const batchSize = numberIn(options, 'batchSize', true) ?? config.batchSize;
  const own = await taskRun(args[0], options);
  if (own) {
    const { adapter } = runFiles(args[0]!);
    return runOfTask({ ...own, batchSize, data: { ...own.data, train: data } }, adapter, options, context);
  }
  await withSession(args, options, async ({ base, chat: own, voices, model, executor }) => {
    const encoder = { chat: voices[0]?.chat ?? own, end: base.end, learn: config.data.learn };
    const room = Math.min(model.config.maxPositions, model.passPositions, numberIn(options, 'context', true) ?? 1024);
    let [examples, cut] = [0, 0];
    const rows = flatMap((example: Example) => {
      const { ids, labels } = encodeExample(example, encoder);
      const row = { ids: ids.slice(0, room), labels: labels.slice(0, room) };
      if (row.labels.every((label) => label === ignored)) return [];
      examples++;
      if (ids.length > room) cut++;
      return [row];
    });
    const stream = pipe(
      await openItems(data, config.data),
      rows,
      batch({ size: batchSize, multipleOf: lengthStep, mask: false }),
    );
    const measure = async (of: typeof model, label: string, total?: number) => {
      const shown = counted(stream, context, label, total === undefined ? {} : { total });
      try {
        return await evaluateLoss(of, shown.stream, { executor });
      } finally {
        shown.end();
      }
    };
    const { loss, tokens } = await measure(model, 'Measuring');
    const seen = { examples, cut };
    const bare = voices.length > 0 ? (await measure(base.model, 'Measuring the base', seen.examples)).loss : null;
    const facts = { loss, perplexity: Math.exp(loss), tokens, ...seen, baseLoss: bare };
    const lines = [
      `loss ${loss.toFixed(4)} nats per token, perplexity ${facts.perplexity.toFixed(2)}`,
      `${count(seen.examples)} examples, ${count(tokens)} tokens learnt${seen.cut > 0 ? `; ${count(seen.cut)} examples were cut at ${room} tokens` : ''}`,
      ...(bare === null ? [] : [`the base without the adapter: ${bare.toFixed(4)}`]),
    ];
    result(context, facts, lines.join('\n'));
  });
};
