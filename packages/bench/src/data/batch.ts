import { randomSource } from '@peftjs/tensor';
import type { StepTask } from '../tasks/task.ts';

/** The feeds of a training step, as they lie in `batch.json`: [batch · tokens] each. Labels are already shifted by one; −100 is none. */
export interface BatchFile {
  readonly ids: readonly number[];
  readonly labels: readonly number[];
}

const none = -100;

/**
 * A row of text. Padded, it holds one document: from row to row their lengths rise evenly between 1/8 and 8/8 of a row, so that 9/16 of a
 * batch are text, however few rows it has.
 */
const rowOf = ({ batch, tokens, documents }: StepTask, row: number, draw: () => number): BatchFile => {
  const text = Array.from({ length: tokens + 1 }, draw);
  const used = documents === 'padded' ? Math.round((1 / 8 + (7 / 8) * ((row + 0.5) / batch)) * tokens) : tokens;
  return {
    ids: text.slice(0, tokens).map((id, i) => (i < used ? id : 0)),
    labels: text.slice(1).map((id, i) => (i < used ? id : none)),
  };
};

/** Random tokens, the same for every stack. */
export const randomBatch = (task: StepTask, seed: number): BatchFile => {
  const random = randomSource(seed, 'batch');
  const draw = (): number => Math.floor(random() * task.model.vocabulary);
  const rows = Array.from({ length: task.batch }, (_, row) => rowOf(task, row, draw));
  return { ids: rows.flatMap((r) => r.ids), labels: rows.flatMap((r) => r.labels) };
};

/** Positions with a label: what a step learns from. */
export const labelled = ({ labels }: BatchFile): number => labels.filter((label) => label !== none).length;
