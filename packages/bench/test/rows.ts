import type { Row } from '../src/run/measure.ts';

/** A row of figures that were never measured. */
export const row = (stack: string, rounds: readonly number[], more: Partial<Row> = {}): Row => ({
  task: 'lora-small',
  stack,
  unit: 'tokens/s',
  rate: rounds.length > 0 ? rounds[0]! : null,
  spread: rounds.length > 0 ? 0.01 : null,
  rounds,
  peakBytes: rounds.length > 0 ? 250e6 : null,
  startMs: rounds.length > 0 ? 1500 : null,
  values: [],
  agrees: rounds.length > 0,
  device: '',
  versions: {},
  ...more,
});
