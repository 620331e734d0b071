import { writeFileAtomic } from '@peftjs/io';
import type { TrainResult } from '@peftjs/trainer';
import { shipped } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import { bytes, count } from '../context.ts';
import type { Survey } from '../data/examples.ts';
import type { SmallChart } from '../report/chart.ts';
import { type Report, renderReport } from '../report/report.ts';
import { type LoggedStep, loggedSamples, loggedSteps, type RunResult } from './run-folder.ts';

/** The content of a report beside the outcome. */
export interface ReportOptions {
  readonly config: RunConfig;
  readonly survey: Survey;
}

const percent = (share: number): string => `${(100 * share).toPrecision(3)} %`;

/** A value over the steps that have one. */
const chartOf = (
  steps: readonly LoggedStep[],
  name: keyof LoggedStep,
  { scale = 1, ...chart }: Omit<SmallChart, 'points'> & { readonly scale?: number },
): SmallChart[] => {
  const points = steps.flatMap((own): (readonly [number, number])[] => {
    const value = own[name];
    return typeof value === 'number' && Number.isFinite(value) ? [[own.step, value * scale]] : [];
  });
  return points.length > 1 ? [{ ...chart, points }] : [];
};

const chartsOf = (steps: readonly LoggedStep[]): readonly SmallChart[] => [
  ...chartOf(steps, 'learningRate', { title: 'Learning rate', unit: 'rate', from: 0 }),
  ...chartOf(steps, 'gradNorm', { title: 'Gradient norm, before clipping', unit: 'norm', from: 0 }),
  ...chartOf(steps, 'tokensPerSecond', { title: 'Speed', unit: 'learnt tokens/s', from: 0 }),
  ...chartOf(steps, 'residentBytes', { title: 'Memory of the process', unit: 'MB', scale: 1e-6, from: 0 }),
];

type Facts = NonNullable<Report['data']>['facts'];

const dataOf = (survey: Survey, unit: string): NonNullable<Report['data']> => {
  const { examples, heldOut, tokens, learnt, longest, lengths, tooLong, empty } = survey;
  const ofTokens: Facts = [
    ['tokens', count(tokens)],
    // Of other tasks a whole example has a label.
    ...(unit === 'token' ? ([['of them learnt', `${count(learnt)} (${percent(learnt / tokens)})`]] as const) : []),
    ['tokens of an example, mean', (tokens / (examples + heldOut)).toFixed(1)],
    ['the longest', count(longest)],
    ['longer than the context', count(tooLong)],
  ];
  return {
    facts: [
      ['examples to learn from', count(examples)],
      ['held out', count(heldOut)],
      ...(tokens > 0 ? ofTokens : []),
      ['without anything to learn', count(empty)],
    ],
    lengths,
  };
};

/** Writes the page of a run from its folder: figures, curves, data, samples as training went on. It needs no network. */
export const writeRunReport = async (
  result: RunResult,
  curves: Pick<TrainResult, 'losses' | 'heldOut'>,
  { config, survey }: ReportOptions,
): Promise<void> => {
  const { method, steps, heldOut, loss, trained, total, tokensPerSecond, peakBytes, seconds, device, unit, measures } =
    result;
  const samples = await loggedSamples(result.dir);
  const figures = [
    ...(heldOut
      ? [
          { name: 'Held-out loss, before', value: heldOut[0].toFixed(3), note: `nats per ${unit}` },
          {
            name: 'Held-out loss, after',
            value: heldOut[1].toFixed(3),
            note: `${(heldOut[0] - heldOut[1]).toFixed(3)} lower`,
          },
        ]
      : [{ name: 'Loss of the last step', value: loss?.toFixed(3) ?? '', note: `nats per ${unit}` }]),
    ...Object.entries(measures)
      .slice(0, 2)
      .map(([name, [first, last]]) => ({
        name: `Held-out ${name}`,
        value: last.toFixed(3),
        note: `before ${first.toFixed(3)}`,
      })),
    { name: 'Trained', value: count(trained), note: `${percent(trained / total)} of the base` },
    {
      name: 'Examples',
      value: count(survey.examples),
      note:
        survey.tokens > 0
          ? `${count(survey.learnt)} of ${count(survey.tokens)} tokens learnt`
          : `${count(survey.heldOut)} held out`,
    },
    { name: 'Speed', value: count(Math.round(tokensPerSecond)), note: 'learnt tokens per second' },
    { name: 'Peak memory', value: bytes(peakBytes), note: `${seconds.toFixed(0)} s in all` },
  ];
  await writeFileAtomic(
    result.report,
    renderReport({
      title: `${method} on ${config.data.train.map((file) => file.split(/[\\/]/).at(-1)).join(', ')}`,
      summary: `${config.model ?? shipped}${config.quantize ? ` in ${config.quantize}` : ''}${config.compute ? ', multiplied in int8' : ''}, ${steps} steps of ${config.batchSize * config.accumulate} examples, seed ${config.seed}, on ${device}.`,
      figures,
      curves: [{ label: method, result: curves }],
      charts: chartsOf(await loggedSteps(result.dir)),
      unit,
      data: dataOf(survey, unit),
      ...(samples.length > 0 && {
        samples: {
          title: 'Answers as training went on, the likeliest tokens',
          prompt: samples[0]!.prompt,
          texts: samples.map(({ step, text }) => ({
            name: step === 0 ? 'before' : step === steps ? `after, step ${count(step)}` : `step ${count(step)}`,
            text,
          })),
        },
      }),
    }),
  );
};
