import { writeFileAtomic } from '@peftjs/io';
import type { TrainResult } from '@peftjs/trainer';
import { shipped } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import { bytes, count } from '../context.ts';
import type { Survey } from '../data/examples.ts';
import { renderReport } from '../report/report.ts';
import type { RunResult } from './run-folder.ts';
import type { Sample } from './sample.ts';

/** The content of a report beside the outcome. */
export interface ReportOptions {
  readonly config: RunConfig;
  readonly survey: Survey;
  /** The answer to the first example before the first step, and after the last. */
  readonly sample?: Sample & { readonly after: string };
}

const percent = (share: number): string => `${(100 * share).toPrecision(3)} %`;

/** Writes the page of a run: figures, curves, a sample before and after. It needs no network. */
export const writeRunReport = async (
  result: RunResult,
  curves: Pick<TrainResult, 'losses' | 'heldOut'>,
  { config, survey, sample }: ReportOptions,
): Promise<void> => {
  const { method, steps, heldOut, loss, trained, total, tokensPerSecond, peakBytes, seconds, device, unit, measures } =
    result;
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
      summary: `${config.model ?? shipped}${config.quantize ? ` in ${config.quantize}` : ''}, ${steps} steps of ${config.batchSize * config.accumulate} examples, seed ${config.seed}, on ${device}.`,
      figures,
      curves: [{ label: method, result: curves }],
      ...(sample && {
        samples: {
          prompt: sample.prompt,
          texts: [
            { name: 'before', text: sample.text },
            { name: 'after', text: sample.after },
          ],
        },
      }),
    }),
  );
};
