import type { Batch, Cursor } from '@peftjs/data';
import { type Executor, neg, PeftError, type TypedArray } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';
import { makePrograms, specOf } from './programs.ts';

/** The log-probabilities of labels by weights as they are now. */
export interface OldLogProbs {
  /** The batch with a column `oldLogProbs`, f32 [rows, tokens]: log π(label) of each label, at the temperature that it was drawn at; 0 where there is none. */
  added(batch: Batch): Promise<Batch>;
  close(): void;
}

/** Makes the log-probabilities that `grpo` divides by, of a model that draws. */
export const oldLogProbs = (
  model: CausalLM,
  { executor, temperature = 1 }: { readonly executor: Executor; readonly temperature?: number },
): OldLogProbs => {
  const programs = makePrograms(executor, (inputs) => ({
    outputs: { found: neg(model.run(inputs).labelLosses({ temperature }).losses) },
  }));
  return {
    added: async (batch) => {
      const { found } = await (await programs.of(specOf(batch))).run(batch.columns);
      programs.trim(new Set());
      return {
        ...batch,
        // JSON knows no −0.
        columns: { ...batch.columns, oldLogProbs: Float32Array.from(found!, (x) => x + 0) },
        shapes: { ...batch.shapes, oldLogProbs: batch.shapes['labels']! },
      };
    },
    close: programs.close,
  };
};

/** Batches that are gone through several times. */
export interface HeldBatches {
  /** The next of them; null where all are done. */
  next(): Batch | null;
  take(batches: readonly Batch[]): void;
  /** Those that are not done, and how many were given; nothing where all are. */
  cursor(): Cursor;
}

const kinds = { f32: Float32Array, i32: Int32Array } as const;

const stored = ({ rows, columns, shapes }: Batch) => ({
  rows,
  shapes,
  columns: Object.fromEntries(
    Object.entries(columns).map(([name, data]) => [name, [data instanceof Int32Array ? 'i32' : 'f32', [...data]]]),
  ),
});

/** A batch as a cursor holds it. Throws `state-mismatch`. */
const batchOf = (value: unknown): Batch => {
  const { rows, columns, shapes } = value as ReturnType<typeof stored>;
  const arrays = Object.entries(columns).map(([name, [kind, data]]): [string, TypedArray] => [
    name,
    kinds[kind as keyof typeof kinds].from(data as number[]),
  ]);
  return { rows, shapes, columns: Object.fromEntries(arrays) };
};

/** Opens the batches of a stream that are given `updates` times each, all of them in order and then again, at what a cursor holds. Throws `state-mismatch`. */
export const heldBatches = (updates: number, at?: unknown): HeldBatches => {
  let [batches, given]: [readonly Batch[], number] = [[], 0];
  let kept: readonly unknown[] = [];
  if (at !== undefined)
    try {
      const from = at as { readonly batches: readonly unknown[]; readonly given: number };
      [batches, given, kept] = [from.batches.map(batchOf), from.given, from.batches];
    } catch (cause) {
      throw new PeftError('state-mismatch', 'rollouts: the cursor holds what is no batch; start anew', { cause });
    }
  const isDone = (): boolean => given >= updates * batches.length;
  return {
    next: () => (isDone() ? null : batches[given++ % batches.length]!),
    take: (drawn) => {
      [batches, given, kept] = [drawn, 0, []];
    },
    cursor: () => {
      if (isDone()) return {};
      if (kept.length === 0) kept = batches.map(stored);
      return { held: { batches: kept, given } };
    },
  };
};
