import { cpo, distillation, dpo, kto, load, type Objective, orpo, simpo } from '@peftjs/core';
import { PeftError, type Tensor } from '@peftjs/tensor';
import type { Task, TaskModel } from '@peftjs/transformer';
import { loadTask, openPlace } from '../base.ts';
import type { RunConfig } from '../config/schema.ts';
import { methods } from '../methods.ts';
import { adapterAt, baseOf } from '../tuned.ts';

/** Loads a teacher: a model, or a run or an adapter over its base. Throws `bad-config` where its outputs are not the pupil's. */
const loadTeacher = async (path: string, task: Task<Tensor>, pupil: TaskModel<Tensor>): Promise<TaskModel<Tensor>> => {
  const adapter = await adapterAt(path);
  const place = await openPlace(adapter ? await baseOf(adapter.dir) : path);
  const base = await loadTask(place, {}, task);
  const model = adapter ? (await load(base, adapter.dir, [...methods.values()])).model : base;
  if (task.labels !== null || model.config.vocabSize === pupil.config.vocabSize) return model;
  throw new PeftError(
    'bad-config',
    `objective.teacher ${path} has a vocabulary of ${model.config.vocabSize} tokens, and the model one of ${pupil.config.vocabSize}; a teacher has the same`,
  );
};

/** The loss of a run; undefined for the task's own. Throws `bad-option` of its options, and as `loadTeacher`. */
export const objectiveOf = async (
  { objective }: Pick<RunConfig, 'objective'>,
  task: Task<Tensor>,
  pupil: TaskModel<Tensor>,
): Promise<Objective | undefined> => {
  if (!objective) return undefined;
  const { name, teacher: path, ...options } = objective;
  if (name === 'distillation') {
    if (path === undefined) return distillation(options);
    const teacher = await loadTeacher(path as string, task, pupil);
    return distillation({ ...options, teacher: (inputs) => teacher.outputs(inputs) });
  }
  return { dpo, orpo, cpo, simpo, kto }[name as 'dpo'](options);
};
