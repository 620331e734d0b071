import { constant, equal, PeftError, reshape, select, type Tensor } from '@peftjs/tensor';
import type { Call } from '@peftjs/transformer';
import type { Mix } from './blend.ts';
import type { Window } from './window.ts';

/** Mixing by row: of each row of the batch the output of the part whose number `rowOf` gives, i32 [batch]. */
export const byRow =
  (who: string, rowOf: (call: Call) => Tensor): Mix =>
  (parts, _, call) => {
    const row = rowOf(call);
    const [first, ...more] = parts as readonly [Tensor, ...Tensor[]];
    const [rows] = row.shape as readonly [number];
    if (first.shape[0] !== rows)
      throw new PeftError('bad-shape', `${who}: ${call.path} gives ${first.shape[0]} rows for ${rows} sequences`);
    const isOf = (i: number): Tensor =>
      reshape(equal(row, constant(Int32Array.of(i), [])), [rows, ...first.shape.slice(1).map(() => 1)]);
    return more.reduce((y, other, i) => (other === y ? y : select(isOf(i + 1), other, y)), first);
  };

/** The parts' numbers in a batch, of which the window's rows go to the parts in order; rows outside of it don't matter. */
const numbered = (sizes: readonly number[], start: number, batch: number): Tensor => {
  const inside = sizes.flatMap((size, part) => Array.from({ length: size }, () => part));
  const numbers = new Int32Array(batch);
  numbers.set(inside, start);
  return constant(numbers, [batch]);
};

/** The rows of a block. Throws `bad-option` where they do not lie side by side. */
const rowsIn = (who: string, { rows }: Window): NonNullable<Window['rows']> => {
  if (rows) return rows;
  throw new PeftError('bad-option', `${who}: it stands in a multiTask, whose rows have no order; take it out`);
};

/** The parts' numbers in a batch of so many rows for each, in order. Throws `bad-shape` for another number of rows. */
export const rowsInOrder = (sizes: readonly number[], window: Window): ((call: Call) => Tensor) => {
  const rows = rowsIn('batchSplit', window);
  return (call) => {
    const { start, size } = rows(call);
    const sum = sizes.reduce((a, b) => a + b, 0);
    if (size === sum) return numbered(sizes, start, call.pass.batch);
    throw new PeftError(
      'bad-shape',
      `batchSplit: there are ${size} rows, the sizes ${sizes.join(', ')} sum to ${sum}; give as many rows`,
    );
  };
};

/** The parts' numbers in a batch that holds the same rows once for each part. Throws `bad-shape` where they are not a multiple. */
export const rowsEach = (parts: number, window: Window): ((call: Call) => Tensor) => {
  const rows = rowsIn('parallel', window);
  return (call) => {
    const { start, size } = rows(call);
    const each = size / parts;
    if (Number.isInteger(each))
      return numbered(
        Array.from({ length: parts }, () => each),
        start,
        call.pass.batch,
      );
    throw new PeftError(
      'bad-shape',
      `parallel: there are ${size} rows, which ${parts} parts cannot share; give the rows once for each part, as inParallel does`,
    );
  };
};

/** The rows of one part of a batch that is split by sizes. */
export const sizedPart = (sizes: readonly number[], part: number, { rows }: Window): Window['rows'] =>
  rows &&
  ((call) => ({
    start: rows(call).start + sizes.slice(0, part).reduce((a, b) => a + b, 0),
    size: sizes[part]!,
  }));

/** The rows of one of so many parts that have as many each. */
export const equalPart = (parts: number, part: number, { rows }: Window): Window['rows'] =>
  rows &&
  ((call) => {
    const { start, size } = rows(call);
    return { start: start + (part * size) / parts, size: size / parts };
  });

/** The parts' numbers as the column `task` of the batch gives them. Throws `bad-option`, `bad-data`. */
export const rowsByTask =
  (names: readonly string[]) =>
  ({ pass: { inputs } }: Call): Tensor => {
    const { task } = inputs;
    const numbers = names.map((name, i) => `${i} ${name}`).join(', ');
    if (!task)
      throw new PeftError(
        'bad-option',
        `multiTask: the inputs have no column task; give each row the number of its part: ${numbers}`,
      );
    const known = task.node.kind === 'constant' ? [...(task.node.data as Int32Array)] : [];
    const odd = known.filter((n) => !Number.isSafeInteger(n) || n < 0 || n >= names.length);
    if (odd.length > 0) throw new PeftError('bad-data', `multiTask: the parts are ${numbers}; got ${odd.join(', ')}`);
    return task;
  };
