import type { PredictedExample, Report } from '@peftjs/cli/shared';
import type { TrainResult } from '@peftjs/trainer';
import type { DemoOptions } from '../options.ts';
import { count, percent } from '../outcome.ts';
import type { RunFigures } from '../run.ts';
import { batchSize } from './batches.ts';
import type { ClassData } from './class-data.ts';

/** The output of `--json` of tasks that tell classes apart, whose heads are among what is trained. Shares of the held-out examples; sizes in bytes. */
export interface ClassResult extends RunFigures {
  readonly task: DemoOptions['task'];
  readonly classes: readonly string[];
  /** Examples to learn from, and held-out ones. */
  readonly examples: number;
  readonly tests: number;
  /** With the head alone trained for as many steps. */
  readonly probeAccuracy: number;
  readonly accuracy: number;
  /** The mean over classes of the F1 score. */
  readonly macroF1: number;
  /** After training all weights for as many steps; null without `--full`. */
  readonly fullAccuracy: number | null;
  /** Nats per example. */
  readonly heldOutLoss: number;
}

/** The findings of a run beside its figures. */
export interface ClassFindings {
  /** Of the method, with what was chosen. */
  readonly label: string;
  readonly data: ClassData;
  readonly device: string;
  readonly options: DemoOptions;
  readonly probe: TrainResult;
  readonly tuned: TrainResult;
  readonly predicted: readonly PredictedExample[];
}

const share = (value: number): string => `${(100 * value).toFixed(1)} %`;

/** Of which examples some are shown, and how many of these and of all were told right: so few may do better or worse than all. */
const drawnOf = (r: ClassResult, { examples }: ClassData, predicted: readonly PredictedExample[]): string => {
  const right = predicted.filter((p) => p.label === p.predicted).length;
  const all = Math.round(r.accuracy * r.tests);
  return `${predicted.length} of the ${r.tests} held-out ${examples}, drawn by the seed: ${right} right, ${share(right / predicted.length)}. Of all ${r.tests}: ${all} right, ${share(r.accuracy)}.`;
};

/** The outcome as a report. */
export const reportOf = (
  r: ClassResult,
  { label, data, device, options, probe, tuned, predicted }: ClassFindings,
): Report => ({
  title: `${label}: ${data.name}`,
  summary: `A base model of ${count(r.total)} parameters, ${options.steps} steps of ${options.batch ?? batchSize} of ${r.examples} ${data.examples}, ${r.tests} held out, seed ${options.seed}, on ${device}.`,
  figures: [
    { name: 'Accuracy', value: share(r.accuracy), note: `macro F1 ${share(r.macroF1)}` },
    { name: 'The head alone', value: share(r.probeAccuracy), note: 'accuracy, as many steps' },
    ...(r.fullAccuracy === null
      ? []
      : [{ name: 'All weights tuned', value: share(r.fullAccuracy), note: 'accuracy, as many steps' }]),
    { name: 'Trained', value: count(r.trainable), note: `${percent(r.trainable, r.total)} of the base, with the head` },
    { name: 'Adapter file', value: `${count(Math.round(r.adapterBytes / 1024))} KiB` },
    { name: 'Peak memory', value: `${count(Math.round(r.peakBytes / 2 ** 20))} MiB` },
    { name: 'Time', value: `${r.seconds.toFixed(0)} s` },
  ],
  curves: [
    { label, result: tuned },
    { label: 'the head alone', result: probe },
  ],
  unit: 'example',
  examples: { shown: predicted, note: drawnOf(r, data, predicted) },
});

/** The outcome as lines for a terminal. */
export const linesOf = (r: ClassResult, { data, predicted }: ClassFindings): string => {
  const full = r.fullAccuracy === null ? '' : `; all weights: ${share(r.fullAccuracy)}`;
  return [
    `\nHeld-out accuracy: ${share(r.accuracy)}, the head alone: ${share(r.probeAccuracy)}${full} (${r.tests} ${data.examples})`,
    `In the report: ${drawnOf(r, data, predicted)}`,
    `Adapter: ${r.adapterDir} (loaded again, same loss)`,
    `Report:  ${r.report}`,
    `${r.seconds.toFixed(0)} s in all.\n`,
  ].join('\n');
};
