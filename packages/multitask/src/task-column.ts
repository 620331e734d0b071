import { constant, PeftError, type Tensor } from '@peftjs/tensor';
import type { Call, Column } from '@peftjs/transformer';

/** A method whose examples come from several tasks. */
export interface TaskedMethod {
  /** Its name, for messages. */
  readonly method: string;
  /** The number of tasks. */
  readonly tasks: number;
  /** The task that all examples are of; null where each says its own. */
  readonly only: number | null;
}

const isSound = (task: number, tasks: number): boolean => Number.isSafeInteger(task) && task >= 0 && task < tasks;

/** The fault of a method made for one task, `<method>For(task)`; null when there is none. */
export const taskFault = ({ method, tasks, only }: TaskedMethod): string | null =>
  only !== null && !isSound(only, tasks) ? `there are tasks 0 to ${tasks - 1}, ${method}For got ${only}` : null;

/** The task that all examples are of: the one that was chosen, or the only one that there is; else null. */
export const onlyTask = (only: number | null, tasks: number): number | null => only ?? (tasks === 1 ? 0 : null);

/** Tasks of a batch's rows, i32 [rows], or of all of them, [1]. Throws `bad-option` for inputs without the column `task`, `bad-data` for tasks that there are not. */
export const tasksOf = ({ pass, path }: Pick<Call, 'pass' | 'path'>, { method, tasks, only }: TaskedMethod): Tensor => {
  if (only !== null) return constant(Int32Array.of(only), [1]);
  const task = pass.inputs['task'];
  if (!task)
    throw new PeftError(
      'bad-option',
      `${method}: ${path}: the inputs have no column task, and there are ${tasks} tasks; give each example its own, 0 to ${tasks - 1}, or load the adapter by ${method}For(task)`,
    );
  const known = task.node.kind === 'constant' ? [...(task.node.data as Int32Array)] : [];
  const odd = known.filter((n) => !isSound(n, tasks));
  if (odd.length > 0)
    throw new PeftError('bad-data', `${method}: there are tasks 0 to ${tasks - 1}, got ${odd.join(', ')}`);
  return task;
};

/** The columns that batches must have for it: none where all examples are of one task. */
export const taskColumns = ({ tasks, only }: TaskedMethod): { readonly columns?: Readonly<Record<'task', Column>> } =>
  only === null ? { columns: { task: { shape: [], dtype: 'i32', below: tasks } } } : {};
