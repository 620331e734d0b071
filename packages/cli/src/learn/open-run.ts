import { type Adapted, load } from '@peftjs/core';
import type { TaskModel } from '@peftjs/transformer';
import { isPackaged, loadTask, openPlace } from '../base.ts';
import { readRunConfig } from '../config/read.ts';
import type { RunConfig } from '../config/schema.ts';
import { methods } from '../methods.ts';
import { placeKind } from '../place-kind.ts';
import { type BaseFlags, baseOptions } from '../session.ts';
import { runFiles } from '../train/run-folder.ts';
import type { Lesson } from './lesson.ts';
import { lessonOf } from './lesson-of.ts';
import { taskOf } from './task-of.ts';

/** A run's model with its adapter, and its lesson. */
export interface OpenRun {
  readonly lesson: Lesson;
  readonly base: TaskModel;
  readonly adapted: Adapted<TaskModel>;
}

/** Loads the base of a run by its task, and its adapter. Throws as `lessonOf`, `load`. */
export const openRun = async (config: RunConfig, adapter: string): Promise<OpenRun> => {
  const place = await openPlace(config.model);
  const lesson = await lessonOf(config, place);
  const base = await loadTask(place, config, lesson.task);
  return { lesson, base, adapted: await load(base, adapter, [...methods.values()]) };
};

/** The configuration of a run, with the base that flags ask for; null for what is no run. */
export const runConfigAt = async (path: string | undefined, options: BaseFlags): Promise<RunConfig | null> => {
  if (path === undefined || isPackaged(path) || (await placeKind(path)) !== 'run') return null;
  const config = await readRunConfig(runFiles(path).config, []);
  const { model, quantize } = baseOptions(options);
  return { ...config, model: model ?? config.model, quantize: quantize ?? config.quantize };
};

/** The tuned model of a run whose task is not writing, as of a classifier; null for what is none. No examples are read. Throws as `loadTask`, `load`. */
export const tunedOfTask = async (
  path: string | undefined,
  options: BaseFlags,
): Promise<{ readonly task: string; readonly base: string; readonly adapted: Adapted<TaskModel> } | null> => {
  const config = await runConfigAt(path, options);
  const task = config && taskOf(config.task);
  if (!task) return null;
  const place = await openPlace(config.model);
  const base = await loadTask(place, config, task);
  const adapted = await load(base, runFiles(path!).adapter, [...methods.values()]);
  return { task: config.task.name, base: place.path, adapted };
};
