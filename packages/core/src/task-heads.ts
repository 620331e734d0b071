import { PeftError } from '@peftjs/tensor';
import type { Model, TaskModel } from '@peftjs/transformer';
import type { AdapterConfig } from './method.ts';

/** Whether a tensor is of a task's own head, which no method knows of. */
export const isHeads = ({ trainedHeads }: Model, name: string): boolean =>
  trainedHeads.some((path) => name.startsWith(`${path}.`));

/** The modules that are trained whole: those of the configuration, and the task's own heads. */
export const withHeads = ({ modules_to_save: saved }: AdapterConfig, heads: readonly string[]): string[] => [
  ...new Set([...(Array.isArray(saved) ? (saved as string[]) : []), ...heads]),
];

/** The configuration without what every adapter of the model has: its task's own head. */
export const withoutHeads = (config: AdapterConfig, { layout, trainedHeads }: Model): AdapterConfig => {
  const { modules_to_save: saved, ...rest } = config;
  if (!Array.isArray(saved) || trainedHeads.length === 0) return config;
  const own = [...taskHeads, ...layout.trainedModules, ...trainedHeads];
  const others = saved.filter((name) => !own.includes(name));
  return others.length > 0 ? { ...rest, modules_to_save: others } : rest;
};

/** Tasks for which PEFT trains the head with every adapter, whether the file's `modules_to_save` says so or not. */
const headedTasks: readonly unknown[] = ['SEQ_CLS', 'TOKEN_CLS', 'QUESTION_ANS'];

/** `task_type` of PEFT's files; null where a model has no task, or one that PEFT has no name for, or keeps its head, which PEFT would train for such a task. */
export const taskType = (model: Model): string | null => {
  if (!('task' in model)) return null;
  const { type } = (model as TaskModel).task;
  return headedTasks.includes(type) && model.trainedHeads.length === 0 ? null : type;
};

/**
 * The model that a file of PEFT is read on: where its adapter was trained without the task's head, which neither it nor its tensors name, that head is the base's, and an adapter
 * of it may be in the file. Throws `bad-adapter` where the base's is new.
 */
export const withOwnHeads = <M extends Model>(base: M, config: AdapterConfig, tensors: Iterable<string>): M => {
  const { modules_to_save: saved, task_type: task } = config;
  const own: readonly unknown[] = [...base.layout.trainedModules, ...base.trainedHeads];
  const isNamed = Array.isArray(saved) && saved.some((name) => own.includes(name) || taskHeads.includes(name));
  if (base.trainedHeads.length === 0 || isNamed || headedTasks.includes(task)) return base;
  if (config.peft_type === undefined || config.peft_type.startsWith('PEFTJS_')) return base;
  const ends = base.trainedHeads.flatMap((path) => [`.${path}.weight`, `.${path}.bias`]);
  if ([...tensors].some((name) => ends.some((end) => name.endsWith(end)))) return base;
  if (!base.layout.headsAreNew) return base.with({ headsKept: true });
  throw new PeftError(
    'bad-adapter',
    `the file has no ${base.trainedHeads.join(', ')}, as it was trained without a task_type and modules_to_save, and the base's own is new, without anything learnt; load the base that it was trained on, or train with task_type`,
  );
};

/** The same of a folder of adapter-hub/adapters, whose head is in files of its own: of one without it the head is the base's, unless that is new. */
export const withHubHeads = <M extends Model>(base: M, head: object | null | undefined): M =>
  head || base.trainedHeads.length === 0 || base.layout.headsAreNew ? base : base.with({ headsKept: true });

/** Heads' names that PEFT lists for every classifier, whether the model has them or not. */
const taskHeads: readonly unknown[] = ['classifier', 'score'];
