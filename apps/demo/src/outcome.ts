import type { Report } from '@peftjs/cli/shared';
import type { TrainResult } from '@peftjs/trainer';
import type { RunFigures } from './run.ts';

/** The output of `--json`. Losses in nats per token over the whole held-out text; sizes in bytes. */
export interface DemoResult extends RunFigures {
  readonly baseLoss: number;
  readonly tunedLoss: number;
  /** After training all weights for as many steps; null without `--full`. */
  readonly fullLoss: number | null;
  readonly tokensPerSecond: number;
  /** The bytes of the base's linear layers, the head apart; and what they would be in f16. */
  readonly baseBytes: number;
  readonly baseHalfBytes: number;
}

/** The findings of a run beside its figures. */
export interface Findings {
  /** Of the method, with what was chosen. */
  readonly label: string;
  readonly textName: string;
  /** How it was made, one line. */
  readonly summary: string;
  readonly prompt: string;
  readonly before: string;
  readonly after: string;
  readonly tuned: TrainResult;
  readonly full: TrainResult | null;
}

/** `12,345`. */
export const count = (n: number): string => n.toLocaleString('en-US');

/** `12.34 %`. */
export const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(2)} %`;

/** The outcome as a report. */
export const reportOf = (
  r: DemoResult,
  { label, textName, summary, prompt, before, after, tuned, full }: Findings,
): Report => {
  const gain = r.baseLoss - r.tunedLoss;
  const compared =
    r.fullLoss === null
      ? []
      : [
          {
            name: 'All weights tuned',
            value: r.fullLoss.toFixed(3),
            note: `the adapter recovers ${percent(gain, r.baseLoss - r.fullLoss)}`,
          },
        ];
  return {
    title: `${label} on ${textName}`,
    summary,
    figures: [
      { name: 'Held-out loss, base', value: r.baseLoss.toFixed(3), note: 'nats per token' },
      { name: 'Held-out loss, tuned', value: r.tunedLoss.toFixed(3), note: `${gain.toFixed(3)} lower` },
      ...compared,
      { name: 'Trained', value: count(r.trainable), note: `${percent(r.trainable, r.total)} of the base` },
      { name: 'Adapter file', value: `${count(Math.round(r.adapterBytes / 1024))} KiB` },
      { name: 'Speed', value: count(Math.round(r.tokensPerSecond)), note: 'tokens per second' },
      { name: 'Peak memory', value: `${count(Math.round(r.peakBytes / 2 ** 20))} MiB` },
    ],
    curves: [{ label, result: tuned }, ...(full ? [{ label: 'all weights', result: full }] : [])],
    samples: {
      prompt,
      texts: [
        { name: 'before', text: before },
        { name: 'after', text: after },
      ],
    },
  };
};

/** The outcome as lines for a terminal. */
export const linesOf = (r: DemoResult, { prompt, before, after }: Findings): string => {
  const quote = (name: string, sample: string): string =>
    `\n${name}\n${prompt}\u2502${sample}`.replaceAll('\n', '\n  ');
  const full = r.fullLoss === null ? '' : `; all weights: ${r.fullLoss.toFixed(4)}`;
  return [
    quote('Before:', before),
    quote('After:', after),
    `\nHeld-out loss: ${r.baseLoss.toFixed(4)} -> ${r.tunedLoss.toFixed(4)} nats per token${full}`,
    `Adapter: ${r.adapterDir} (loaded again, same loss to the bit)`,
    `Report:  ${r.report}`,
    `${r.seconds.toFixed(0)} s in all.\n`,
  ].join('\n');
};
