import type { Program } from '@peftjs/tensor';
import type { Node } from '@peftjs/tensor/executor';
import { allowsInPlace, type Placement } from './placement.ts';
import type { CopyStep, Step } from './steps.ts';
import { type Usage, usageOf } from './usage.ts';
import { scratch, type Value, type ValueTable } from './values.ts';

/** Steps with the updates of variables among them; `tail` runs after the results have been read. */
export interface Committed {
  readonly steps: readonly Step[];
  readonly tail: readonly CopyStep[];
}

/** A kernel may write a variable's memory itself once nothing needs the old value any more. */
const mayWriteDirectly = (steps: readonly Step[], usage: Usage, source: Value, target: Value): boolean => {
  const firstWrite = usage.writes(source)[0];
  if (source.home !== 'pool' || source.bytes !== target.bytes || firstWrite === undefined) return false;
  return usage.reads(target).every((at) => at < firstWrite || allowsInPlace(steps[at]!, source, target));
};

/** Copies that run at the end: what is both read and written is put aside first, so that variables may be exchanged. */
const tailOf = (copies: readonly CopyStep[]): CopyStep[] => {
  const written = new Set(copies.map((c) => c.to));
  const aside = new Map<Value, Value>();
  for (const { from } of copies)
    if (written.has(from) && !aside.has(from)) aside.set(from, scratch(`old ${from.label}`, from.bytes));
  const saves = [...aside].map(([from, to]): CopyStep => ({ kind: 'copy', from, to }));
  return [...saves, ...copies.map(({ from, to }): CopyStep => ({ kind: 'copy', from: aside.get(from) ?? from, to }))];
};

/**
 * Adds the updates of a program to its steps. New values are made from the variables as they were before: the kernel
 * that computes one writes the variable's memory when no later step reads the old value (recorded in `placement`);
 * else it is copied as soon as the last one has; and at the very end where a result is the old value. Variables in `done` are written by kernels
 * already.
 */
export const commitUpdates = (
  program: Program,
  table: ValueTable,
  steps: readonly Step[],
  placement: Placement,
  done: ReadonlySet<Node>,
): Committed => {
  const usage = usageOf(steps);
  const pairs = program.updates
    .map(([v, t]) => ({ target: table.of(v), source: table.of(t) }))
    .filter(({ target, source }) => target !== source && !done.has(target.home as Node));
  const readAtEnd = new Set([...program.outputs.values()].map((t) => table.of(t)));
  for (const { source } of pairs) if (source.home !== 'pool') readAtEnd.add(source);

  const after = new Map<number, CopyStep[]>();
  const late: CopyStep[] = [];
  for (const { source, target } of pairs) {
    if (readAtEnd.has(target)) late.push({ kind: 'copy', from: source, to: target });
    else if (
      placement.resolve(source) === source &&
      !placement.partOf(source) &&
      mayWriteDirectly(steps, usage, source, target)
    )
      placement.place(source, target);
    else {
      const at = Math.max(usage.writes(source).at(-1) ?? -1, usage.reads(target).at(-1) ?? -1);
      (after.get(at) ?? after.set(at, []).get(at)!).push({ kind: 'copy', from: source, to: target });
    }
  }
  return {
    steps: [...(after.get(-1) ?? []), ...steps.flatMap((step, at) => [step, ...(after.get(at) ?? [])])],
    tail: tailOf(late),
  };
};
