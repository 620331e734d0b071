import { access, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Adapted, load } from '@peftjs/core';
import { type Chat, fileAt, filesAt, isHub, joinPath, readAdapter } from '@peftjs/io';
import { isPeftError, PeftError } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';
import { type Base, type BaseOptions, isPackaged, loadBase } from './base.ts';
import { conversation, templateFile } from './conversation.ts';
import { methods } from './methods.ts';
import { placeKind } from './place-kind.ts';
import { runFiles } from './train/run-folder.ts';

/** An adapter over a base, by the name that it is called. */
export interface Voice {
  readonly name: string;
  readonly adapted: Adapted<CausalLM>;
  /** Conversations as the adapter learnt them. */
  readonly chat: Chat;
  /** The chat template that is kept beside it; null where the base has its own. */
  readonly template: string | null;
}

/** A base, and the adapters that were asked for. */
export interface Tuned {
  readonly base: Base;
  /** Conversations of the base alone. */
  readonly chat: Chat;
  readonly voices: readonly Voice[];
  /** The model that answers where nothing else is said: with the first adapter, or the base. */
  readonly model: CausalLM;
}

const isThere = async (path: string): Promise<boolean> => {
  if (isHub(path)) {
    const at = await fileAt(path);
    return (await at.files.size(at.path)) !== null;
  }
  return access(path).then(
    () => true,
    () => false,
  );
};

/** The tasks of adapters that do not write, by PEFT's names. */
const others: readonly unknown[] = ['SEQ_CLS', 'TOKEN_CLS', 'SEQ_2_SEQ_LM', 'QUESTION_ANS', 'FEATURE_EXTRACTION'];

/** The task of an adapter that does not write; null of one that does, or says none. */
const otherTask = async (dir: string): Promise<string | null> => {
  const files = await filesAt(dir);
  const text = new TextDecoder().decode(await files.read('adapter_config.json').catch(() => new Uint8Array(0)));
  // Where it is no JSON the loader says so.
  const task = /"task_type"\s*:\s*"(\w+)"/.exec(text)?.[1];
  return task !== undefined && others.includes(task) ? task : null;
};

/** The newest run in a folder that has an adapter; null where there is none. Names of runs are their times. */
const newestRun = async (folder: string): Promise<string | null> => {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.sort().reverse()) {
    const { adapter } = runFiles(join(folder, name));
    if ((await isThere(join(adapter, 'adapter_config.json'))) && (await otherTask(adapter)) === null)
      return join(folder, name);
  }
  return null;
};

/** The adapter folder of a path, and the name that it goes by; null for a model. */
export const adapterAt = async (path: string): Promise<{ readonly dir: string; readonly name: string } | null> => {
  if (isPackaged(path)) return null;
  const kind = await placeKind(path);
  if (kind === 'adapter') return { dir: path, name: basename(path) };
  if (kind === 'model' || kind === 'gguf') return null;
  const { adapter } = runFiles(path);
  if (kind !== 'run') throw new PeftError('bad-option', `${path}: is no run, no adapter and no model`);
  if (await isThere(join(adapter, 'adapter_config.json'))) return { dir: adapter, name: basename(path) };
  throw new PeftError('bad-option', `${path}: has no adapter yet; peftjs resume ${path} goes on with the run`);
};

/** The place of a model on the hub, as PEFT names it; null for what is none. */
const hubName = (name: string, revision: unknown): string | null => {
  if (isHub(name)) return name;
  if (!/^(?!models\/|datasets\/)\w[\w.-]*\/\w[\w.-]*$/.test(name)) return null;
  return `hub:${name}${typeof revision === 'string' ? `@${encodeURIComponent(revision)}` : ''}`;
};

/** The base that an adapter says it belongs to: a folder, or where there is none of that name, a model on the hub. Throws `file-missing`, and as the hub's files. */
export const baseOf = async (dir: string): Promise<string> => {
  const { config } = await readAdapter(dir);
  const { baseModel, raw } = config;
  if (isPackaged(baseModel) || (baseModel !== null && (await isThere(baseModel)))) return baseModel;
  const onHub = baseModel === null ? null : hubName(baseModel, raw['revision']);
  if (onHub === null)
    throw new PeftError(
      'file-missing',
      `${dir}: its base is ${baseModel ?? 'not said'}, which is no folder here; give the folder of it with --model`,
    );
  try {
    await (await filesAt(onHub)).size('config.json');
    return onHub;
  } catch (cause) {
    if (!isPeftError(cause)) throw cause;
    throw new PeftError(
      cause.code,
      `${dir}: its base is ${baseModel}, which is no folder here, and from the hub it does not come: ${cause.message} Or give the folder of it with --model.`,
      { cause },
    );
  }
};

/** Loads an adapter over a base. Throws as `load`. */
const loadVoice = async (
  base: Base,
  { dir, name }: { readonly dir: string; readonly name: string },
): Promise<Voice> => {
  const task = await otherTask(dir);
  if (task !== null)
    throw new PeftError(
      'bad-option',
      `${dir}: is an adapter of the task ${task}, and one that writes is wanted; peftjs evaluate RUN --data FILE measures its run, peftjs merge RUN OUT folds it in`,
    );
  const file = joinPath(dir, templateFile);
  const { chat, template } = await conversation(base.files, base.tokenizer, (await isThere(file)) ? file : undefined);
  return { name, adapted: await load(base.model, dir, [...methods.values()]), chat, template };
};

/** The adapter at a path that must be one, over a base. Throws `bad-option` for what is none. */
export const voiceAt = async (base: Base, path: string, name?: string): Promise<Voice> => {
  const found = await adapterAt(path);
  if (!found) throw new PeftError('bad-option', `${path}: is a model, and an adapter is wanted`);
  return loadVoice(base, { ...found, ...(name !== undefined && { name }) });
};

/**
 * Loads what paths name: runs, adapters, at most one model; of none the newest run in `runs`, or the shipped model. The base is `model`, or that which the first
 * adapter belongs to. Throws `bad-option`, `file-missing`, and as the loaders do.
 */
export const openTuned = async (paths: readonly string[], options: BaseOptions = {}): Promise<Tuned> => {
  const newest = paths.length === 0 && options.model === undefined ? await newestRun('runs') : null;
  const asked = newest === null ? paths : [newest];
  const found = await Promise.all(asked.map(adapterAt));
  const models = asked.filter((_, i) => found[i] === null);
  const adapters = found.filter((one) => one !== null);
  if (models.length > 1) throw new PeftError('bad-option', `one model is wanted, there are ${models.join(', ')}`);
  const model = options.model ?? models[0] ?? (adapters[0] ? await baseOf(adapters[0].dir) : undefined);
  const base = await loadBase({ ...options, model });
  const voices: Voice[] = [];
  for (const one of adapters) {
    const isTaken = voices.some(({ name }) => name === one.name);
    voices.push(await loadVoice(base, isTaken ? { ...one, name: one.dir } : one));
  }
  const { chat } = await conversation(base.files, base.tokenizer);
  return { base, chat, voices, model: voices[0]?.adapted.model ?? base.model };
};
