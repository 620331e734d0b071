import { type Objective, summary } from '@peftjs/core';
import type { Executor, Plan } from '@peftjs/tensor';
import { makeTrainStep } from '@peftjs/trainer';
import { loadTexts } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import { bytes, type Context, count, result } from '../context.ts';
import { optimizer } from './optimizer.ts';
import type { Prepared } from './prepared.ts';
import { shownExample } from './shown-example.ts';

/** An executor that also keeps the plans of what it compiles. */
const planning = (executor: Executor, plans: Plan[]): Executor => ({
  ...executor,
  compile: async (program) => {
    const executable = await executor.compile(program);
    plans.push(executable.plan);
    return executable;
  },
});

/** Tells of a run what can be told before its first step: the share that is trained, memory and work of a step, tokens, two examples with what is learnt of them. */
export const dryRun = async (
  config: RunConfig,
  { place, lesson, examples, adapted, objective, steps, rate }: Prepared,
  executor: Executor,
  context: Context,
): Promise<void> => {
  const { survey, first } = examples;
  const plans: Plan[] = [];
  const { columns, shapes } = await examples.longestBatch();
  const tokens = shapes['ids']?.[1] ?? null;
  const inputs = Object.entries(columns).map(([name, data]) => {
    const dtype = data instanceof Float32Array ? 'f32' : 'i32';
    return [name, { shape: shapes[name]!, dtype }] as const;
  });
  const step = await makeTrainStep(adapted, {
    executor: planning(executor, plans),
    optimizer: optimizer(config),
    recompute: config.recompute,
    gathers: config.accumulate > 1,
    inputs: Object.fromEntries(inputs),
    ...(objective && { objective: objective as Objective<never> }),
  });
  step.close();
  const { trained, base: all, share } = summary(adapted);
  const peakBytes = Math.max(...plans.map((plan) => plan.peakBytes));
  const flops = plans.reduce((n, plan) => n + plan.flops, 0) * config.accumulate;
  const tokenizer = lesson.lengths.length > 0 ? await loadTexts(place) : null;
  const shown = first.map((example) => shownExample(example, lesson, tokenizer));
  const facts = {
    method: adapted.method.name,
    trained,
    base: all,
    share,
    steps,
    rate,
    peakBytes,
    flops,
    ...survey,
  };
  const text = [
    `${facts.method} trains ${count(trained)} of ${count(all)} values, ${(100 * facts.share).toPrecision(3)} %`,
    `${count(steps)} ${steps === 1 ? 'step' : 'steps'} of ${config.batchSize * config.accumulate} examples, highest rate ${rate}`,
    `planned peak of a step with the longest examples${tokens === null ? '' : `, ${tokens} tokens`}: ${bytes(peakBytes)}; ${(flops / 1e9).toPrecision(3)} GFLOP`,
    tokens === null
      ? `${count(survey.learnt)} examples`
      : `${count(survey.tokens)} tokens, ${lesson.lengths.includes('labels') ? `of which ${count(survey.learnt)} are learnt` : `${count(survey.learnt)} examples`}; the longest example has ${count(survey.longest)}`,
    ...shown.map((example, i) => `\nExample ${i + 1}, what is learnt between ⟦ and ⟧:\n${example}`),
  ];
  result(context, { ...facts, examplesShown: shown }, text.join('\n'));
};
