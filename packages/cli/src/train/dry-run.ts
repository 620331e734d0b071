import { summary } from '@peftjs/core';
import { ignored } from '@peftjs/data';
import type { Tokenizer } from '@peftjs/io';
import type { Executor, Plan } from '@peftjs/tensor';
import { makeTrainStep } from '@peftjs/trainer';
import type { RunConfig } from '../config/schema.ts';
import { bytes, type Context, count, result } from '../context.ts';
import type { Encoded } from '../data/encode-example.ts';
import { lengthStep } from '../data/examples.ts';
import { optimizer } from './optimizer.ts';
import type { Prepared } from './prepared.ts';

/** An executor that also keeps the plans of what it compiles. */
const planning = (executor: Executor, plans: Plan[]): Executor => ({
  ...executor,
  compile: async (program) => {
    const executable = await executor.compile(program);
    plans.push(executable.plan);
    return executable;
  },
});

/** An example as text, what is learnt of it between ⟦ and ⟧. */
const shownExample = ({ ids, labels }: Encoded, tokenizer: Pick<Tokenizer, 'decode'>): string => {
  const all = [...ids, ...(labels.at(-1) === ignored ? [] : [labels.at(-1)!])];
  const learnt = (at: number): boolean => at > 0 && labels[at - 1] !== ignored;
  let text = '';
  for (let from = 0; from < all.length; ) {
    let to = from;
    while (to < all.length && learnt(to) === learnt(from)) to++;
    const part = tokenizer.decode(all.slice(from, to));
    text += learnt(from) ? `⟦${part}⟧` : part;
    from = to;
  }
  return text;
};

/** Tells of a run what can be told before its first step: the share that is trained, memory and work of a step, tokens, two examples with what is learnt of them. */
export const dryRun = async (
  config: RunConfig,
  { base, examples, adapted, steps, rate }: Prepared,
  executor: Executor,
  context: Context,
): Promise<void> => {
  const { survey, first } = examples;
  const plans: Plan[] = [];
  const tokens = Math.ceil(survey.longest / lengthStep) * lengthStep;
  const shape = { shape: [config.batchSize, tokens], dtype: 'i32' as const };
  const step = await makeTrainStep(adapted, {
    executor: planning(executor, plans),
    optimizer: optimizer(config),
    recompute: config.recompute,
    gathers: config.accumulate > 1,
    inputs: { ids: shape, labels: shape },
  });
  step.close();
  const { trained, base: all, share } = summary(adapted);
  const peakBytes = Math.max(...plans.map((plan) => plan.peakBytes));
  const flops = plans.reduce((n, plan) => n + plan.flops, 0) * config.accumulate;
  const shown = first.map((example) => shownExample(example, base.tokenizer));
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
    `${count(steps)} steps of ${config.batchSize * config.accumulate} examples, highest rate ${rate}`,
    `planned peak of a step with the longest examples, ${tokens} tokens: ${bytes(peakBytes)}; ${(flops / 1e9).toPrecision(3)} GFLOP`,
    `${count(survey.tokens)} tokens, of which ${count(survey.learnt)} are learnt; the longest example has ${count(survey.longest)}`,
    ...shown.map((example, i) => `\nExample ${i + 1}, what is learnt between ⟦ and ⟧:\n${example}`),
  ];
  result(context, { ...facts, examplesShown: shown }, text.join('\n'));
};
