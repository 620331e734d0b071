import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { load } from '@peftjs/core';
import { type Batch, chat, fromArray, pipe } from '@peftjs/data';
import { type ChatMessage, loadChat } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import type { Executor } from '@peftjs/tensor';
import { adamw, chain, clip, train } from '@peftjs/trainer';
import { loadModel } from '@peftjs/transformer';
import { recordedIn } from './families.ts';

/** A text of a batch: its tokens, and those that are learnt. */
interface Text {
  readonly ids: readonly number[];
  readonly labels: readonly number[];
}

/** The rows of tokens that TRL had in a step, each text by itself: where positions begin anew, another one begins. */
const textsOf = (recorded: Awaited<ReturnType<typeof recordedIn>>, step: number): readonly Text[] => {
  const of = (name: string) => recorded.get(`${name} ${step}`);
  const [ids, labels, positions, mask] = ['input_ids', 'labels', 'position_ids', 'attention_mask'].map(of);
  const [rows, tokens] = ids!.shape as [number, number];
  const texts: { ids: number[]; labels: number[] }[] = [];
  for (let at = 0; at < rows * tokens; at++) {
    if (at % tokens === 0 || positions?.data[at] === 0) texts.push({ ids: [], labels: [] });
    if (mask && mask.data[at] === 0) continue;
    texts.at(-1)!.ids.push(ids!.data[at]!);
    texts.at(-1)!.labels.push(labels!.data[at]!);
  }
  return texts.filter((text) => text.ids.length > 1);
};

/** The texts of all steps, and those that we make of the same conversations by a template without marks; labels move to the token before. */
export const saidTexts = async (
  folder: string,
): Promise<{ readonly wanted: readonly string[]; readonly ours: readonly string[] }> => {
  const recorded = await recordedIn(join(folder, 'steps.safetensors'));
  const steps = recorded.get('losses')!.data.length;
  const conversations = JSON.parse(
    await readFile(join(folder, 'conversations.json'), 'utf8'),
  ) as readonly (readonly ChatMessage[])[];
  const made = pipe(fromArray(conversations), chat(await loadChat(join(folder, 'tokenizer'))));
  const ours: string[] = [];
  for await (const { ids, labels } of made.open()) ours.push(JSON.stringify([[...ids], [...labels]]));
  const wanted = Array.from({ length: steps }, (_, step) => textsOf(recorded, step)).flat();
  return {
    wanted: wanted.map(({ ids, labels }) => JSON.stringify([ids.slice(0, -1), labels.slice(1)])).sort(),
    ours: ours.sort(),
  };
};

/** Texts as a batch of so many rows; labels move to the token before. */
const batchOf = (texts: readonly Text[], rows: number, context: number): Batch => {
  const columns = { ids: new Int32Array(rows * context), labels: new Int32Array(rows * context).fill(-100) };
  for (const [row, text] of texts.entries()) {
    columns.ids.set(text.ids.slice(0, -1), row * context);
    columns.labels.set(text.labels.slice(1), row * context);
  }
  return { rows, columns, shapes: { ids: [rows, context], labels: [rows, context] } };
};

/** The losses of TRL's steps and of ours, from the same adapter and texts. Packed texts are rows of their own here. */
export const sftLosses = async (
  modelDir: string,
  folder: string,
  { executor, learningRate }: { readonly executor: Executor; readonly learningRate: number },
): Promise<{ readonly wanted: readonly number[]; readonly losses: readonly number[] }> => {
  const recorded = await recordedIn(join(folder, 'steps.safetensors'));
  const wanted = [...recorded.get('losses')!.data];
  const adapted = await load(await loadModel(modelDir), join(folder, 'before'), [lora]);
  const steps = wanted.map((_, step) => textsOf(recorded, step));
  const rows = Math.max(...steps.map((texts) => texts.length));
  const context = Math.max(...steps.flat().map(({ ids }) => ids.length - 1));
  const { losses } = await train(adapted, {
    executor,
    data: fromArray(steps.map((texts) => batchOf(texts, rows, context))),
    steps: wanted.length,
    schedule: () => learningRate,
    optimizer: chain(clip(1), adamw()),
  });
  return { wanted, losses: losses.map(({ loss }) => loss) };
};
