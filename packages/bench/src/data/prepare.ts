import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { attach, save } from '@peftjs/core';
import { writeSafetensors } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { normalValues, randomSource, reference } from '@peftjs/tensor';
import { saveModel } from '@peftjs/transformer';
import { paths } from '../paths.ts';
import type { GenerateTask, MatmulTask, StepTask, Task } from '../tasks/task.ts';
import { type BatchFile, labelled, randomBatch } from './batch.ts';
import { randomModel } from './random-model.ts';

/** A task whose weights and data are on the disk. */
export interface Prepared {
  readonly task: Task;
  /** `operands.safetensors` (a, b); or `model` in Hugging Face's layout with `adapter`, `batch.json` or `prompt.json`. */
  readonly dir: string;
  /** Floating-point operations or tokens of one run. */
  readonly work: number;
}

const seed = 1;

/** Another number where the same fields come to mean other data. */
const version = 2;

/** The fields that the files on the disk depend on; tasks with the same ones share them. */
const keyOf = (task: Task): string => {
  const { name: _name, about: _about, ...fields } = task;
  const { learningRate: _rate, variant: _variant, ...rest } = fields as Partial<StepTask>;
  const shared = rest.kind === 'step' ? { ...rest, method: undefined } : rest;
  return createHash('sha256')
    .update(JSON.stringify({ ...shared, seed, version }))
    .digest('hex')
    .slice(0, 16);
};

const writeOperands = async (dir: string, { m, k, n, transposeA, transposeB }: MatmulTask): Promise<void> => {
  const values = (name: string): Float32Array =>
    normalValues(name === 'a' ? m * k : k * n, 1, randomSource(seed, name));
  await writeSafetensors(
    join(dir, 'operands.safetensors'),
    new Map([
      ['a', { dtype: 'F32', shape: transposeA ? [k, m] : [m, k], data: values('a') }],
      ['b', { dtype: 'F32', shape: transposeB ? [n, k] : [k, n], data: values('b') }],
    ]),
  );
};

const writeStep = async (dir: string, task: StepTask): Promise<void> => {
  const executor = reference();
  const model = await randomModel(task.model, task.tokens, seed);
  await saveModel(model, join(dir, 'model'), { executor });
  const method = lora({ rank: task.rank, alpha: task.alpha, target: ['q_proj', 'v_proj'] });
  await save(attach(model, [method], { seed }), join(dir, 'adapter'), { executor, baseModel: 'model' });
  await writeFile(join(dir, 'batch.json'), JSON.stringify(randomBatch(task, seed)));
  await executor.close();
};

const writePrompt = async (dir: string, task: GenerateTask): Promise<void> => {
  const executor = reference();
  const model = await randomModel(task.model, task.prompt + task.tokens, seed);
  await saveModel(model, join(dir, 'model'), { executor });
  const random = randomSource(seed, 'prompt');
  const ids = Array.from({ length: task.prompt }, () => Math.floor(random() * task.model.vocabulary));
  await writeFile(join(dir, 'prompt.json'), JSON.stringify(ids));
  await executor.close();
};

const write = async (dir: string, task: Task): Promise<void> => {
  if (task.kind === 'matmul') await writeOperands(dir, task);
  else if (task.kind === 'step') await writeStep(dir, task);
  else await writePrompt(dir, task);
};

const workOf = async (dir: string, task: Task): Promise<number> => {
  if (task.kind === 'matmul') return 2 * task.m * task.k * task.n;
  if (task.kind === 'generate') return task.tokens;
  return labelled(JSON.parse(await readFile(join(dir, 'batch.json'), 'utf8')) as BatchFile);
};

/** Makes the weights and data of a task, unless they are there: whole folders, put in place at the end. */
export const prepare = async (task: Task, cache: string = paths.data): Promise<Prepared> => {
  const dir = join(cache, keyOf(task));
  if (!existsSync(dir)) {
    await mkdir(dirname(dir), { recursive: true });
    const staged = await mkdtemp(`${dir}.`);
    try {
      await write(staged, task);
      await rename(staged, dir);
    } catch (error) {
      await rm(staged, { recursive: true, force: true });
      // Another process may have been first.
      if (!existsSync(dir)) throw error;
    }
  }
  return { task, dir, work: await workOf(dir, task) };
};
