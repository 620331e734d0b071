import type { Progress } from '../progress.ts';
import type { Measurement } from '../train-options.ts';

/** A place where a run's numbers go. All are waited for. */
export interface Logger {
  /** Told of every step once its loss is known. */
  step(progress: Progress): unknown;
  /** Told of every measurement of held-out data. */
  measure?(measurement: Measurement): unknown;
  /** Told when the run is over; whether by an error. */
  end?(failed: boolean): unknown;
}

/** The remedy where a log's files can't be written. */
export const inNode = (who: string): string =>
  `${who}: files are written in Node alone; here, take the numbers from onStep`;

/** Numbers by name, of one step. */
export type Scalars = Readonly<Record<string, number>>;

const prefixed = (prefix: string, values: Scalars): Scalars =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}/${name}`, value]));

const finite = (values: Scalars): Scalars =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => Number.isFinite(value)));

/** The numbers of a step: `train/loss`, `train/learningRate`, `train/gradNorm`, `train/tokensPerSecond`, and what the objective reports. Those that are not finite are left out. */
export const stepScalars = ({ loss, learningRate, gradNorm, tokensPerSecond, metrics }: Progress): Scalars =>
  finite(prefixed('train', { loss, learningRate, gradNorm, tokensPerSecond, ...metrics }));

/** The numbers of a measurement: `heldOut/loss` and its measures. */
export const measuredScalars = ({ loss, metrics }: Measurement): Scalars =>
  finite(prefixed('heldOut', { loss, ...metrics }));
