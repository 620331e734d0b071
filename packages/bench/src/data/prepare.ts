import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { attach, save } from '@peftjs/core';
import { writeSafetensors } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { normalValues, randomSource, reference } from '@peftjs/tensor';
import { type CausalLM, loadModel, saveModel } from '@peftjs/transformer';
import { paths } from '../paths.ts';
import type { GenerateTask, MatmulTask, ModelShape, StepTask, Task } from '../tasks/task.ts';
import { type BatchFile, labelled, randomBatch } from './batch.ts';
import { writeGgufModel } from './gguf-model.ts';
import { randomModel } from './random-model.ts';

/** A task whose weights and data are on the disk. */
export interface Prepared {
  readonly task: Task;
  /** `operands.safetensors` (a, b); or `model` in Hugging Face's layout with `adapter`, `batch.json` or `prompt.json`, and `model.gguf` of a task that has a storage. */
  readonly dir: string;
  /** Floating-point operations or tokens of one run. */
  readonly work: number;
}

const seed = 1;

/** Another number where the same fields come to mean other data. */
const version = 2;

/** The fields that the files on the disk depend on; tasks with the same ones share them. */
const keyOf = (task: Task, folder: string): string => {
  const { name: _name, about: _about, ...fields } = task;
  const { learningRate: _rate, variant: _variant, inHalf: _inHalf, ...rest } = fields as Partial<StepTask>;
  const shared = rest.kind === 'step' ? { ...rest, method: undefined, ...(rest.weights && { weights: folder }) } : rest;
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

/** The folder of a published model, which must be what the task says. */
const published = async (task: StepTask, folder: string): Promise<CausalLM> => {
  const { hidden, layers, vocabulary } = task.model;
  const model = await loadModel(folder);
  const { hiddenSize, layers: depth, vocabSize } = model.config;
  if (hiddenSize !== hidden || depth !== layers || vocabSize !== vocabulary)
    throw new Error(
      `${task.name}: it is measured with the weights of ${task.weights} (${layers} layers of ${hidden}, ${vocabulary} tokens), and ${folder} has ${depth} layers of ${hiddenSize}, ${vocabSize} tokens; name its folder with --model`,
    );
  return model;
};

/** Weights of more than a gigabyte are kept in 16 bits, from which all stacks read the same values. */
const isLarge = ({ hidden, layers, inner }: ModelShape): boolean => layers * hidden * inner > 1e8;

const writeStep = async (dir: string, task: StepTask, folder: string): Promise<void> => {
  const executor = reference();
  let model: CausalLM;
  if (task.weights) {
    model = await published(task, folder);
    await symlink(resolve(folder), join(dir, 'model'));
  } else {
    model = await randomModel(task.model, task.tokens, seed);
    await saveModel(model, join(dir, 'model'), { executor, dtype: isLarge(task.model) ? 'bf16' : 'f32' });
  }
  const method = lora({ rank: task.rank, alpha: task.alpha, target: [...(task.layers ?? ['q_proj', 'v_proj'])] });
  await save(attach(model, [method], { seed }), join(dir, 'adapter'), { executor, baseModel: 'model' });
  await writeFile(join(dir, 'batch.json'), JSON.stringify(randomBatch(task, seed)));
  await executor.close();
};

const writePrompt = async (dir: string, task: GenerateTask): Promise<void> => {
  const executor = reference();
  const model = await randomModel(task.model, task.prompt + task.tokens, seed);
  if (task.storage) await writeGgufModel(model, dir, task.storage, { executor });
  else await saveModel(model, join(dir, 'model'), { executor });
  const random = randomSource(seed, 'prompt');
  const ids = Array.from({ length: task.prompt }, () => Math.floor(random() * task.model.vocabulary));
  await writeFile(join(dir, 'prompt.json'), JSON.stringify(ids));
  await executor.close();
};

const write = async (dir: string, task: Task, folder: string): Promise<void> => {
  if (task.kind === 'matmul') await writeOperands(dir, task);
  else if (task.kind === 'step') await writeStep(dir, task, folder);
  else await writePrompt(dir, task);
};

const workOf = async (dir: string, task: Task): Promise<number> => {
  if (task.kind === 'matmul') return 2 * task.m * task.k * task.n;
  if (task.kind === 'generate') return task.tokens;
  return labelled(JSON.parse(await readFile(join(dir, 'batch.json'), 'utf8')) as BatchFile);
};

/** Where things are. */
export interface PrepareOptions {
  /** Where weights and data are kept. */
  readonly cache?: string;
  /** The folder of the published model that some tasks are of. */
  readonly model?: string;
}

/** Makes the weights and data of a task, unless they are there: whole folders, put in place at the end. */
export const prepare = async (
  task: Task,
  { cache = paths.data, model = '' }: PrepareOptions = {},
): Promise<Prepared> => {
  const dir = join(cache, keyOf(task, resolve(model)));
  if (!existsSync(dir)) {
    await mkdir(dirname(dir), { recursive: true });
    const staged = await mkdtemp(`${dir}.`);
    try {
      await write(staged, task, model);
      await rename(staged, dir);
    } catch (error) {
      await rm(staged, { recursive: true, force: true });
      // Another process may have been first.
      if (!existsSync(dir)) throw error;
    }
  }
  return { task, dir, work: await workOf(dir, task) };
};
