import { type Random, randomSource } from '@peftjs/tensor';
import type { StepTask } from '../tasks/task.ts';

/** What a training step is fed, as it lies in `batch.json`: [batch · tokens] each. Labels are already shifted by one; −100 is none. */
export interface BatchFile {
  readonly ids: readonly number[];
  readonly labels: readonly number[];
}

const none = -100;

/** Documents of 1/8 to 8/8 of a row, as many as fill the rows with one document each, or with documents one after the other. */
const rowOf = (task: StepTask, draw: () => number, random: Random): { ids: number[]; labels: number[] } => {
  const { tokens, documents } = task;
  const text = Array.from({ length: tokens + 1 }, draw);
  const used = documents === 'padded' ? Math.ceil(((1 + Math.floor(random() * 8)) * tokens) / 8) : tokens;
  return {
    ids: text.slice(0, tokens).map((id, i) => (i < used ? id : 0)),
    labels: text.slice(1).map((id, i) => (i < used ? id : none)),
  };
};

/** Random tokens, the same for every stack. */
export const randomBatch = (task: StepTask, seed: number): BatchFile => {
  const random = randomSource(seed, 'batch');
  const draw = (): number => Math.floor(random() * task.model.vocabulary);
  const rows = Array.from({ length: task.batch }, () => rowOf(task, draw, random));
  return { ids: rows.flatMap((r) => r.ids), labels: rows.flatMap((r) => r.labels) };
};

/** Positions with a label: what a step learns from. */
export const labelled = ({ labels }: BatchFile): number => labels.filter((label) => label !== none).length;
