import { attach } from '@peftjs/core';
import { type Batch, batch, jsonl, pack, pipe, repeat, type Stream, shuffle, tokenize } from '@peftjs/data';
import type { FilePlace } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { tinyLlama } from '@peftjs/transformer/testing';
import { linear, type Progress, train } from '../src/index.ts';

/** A vocabulary of letters. */
const tokenizer = { encode: (text: string): Int32Array => Int32Array.from(text, (c) => c.charCodeAt(0) % 12) };

/** Training data from a file of JSON lines, by way of all stages. */
export const streamOf = (file: FilePlace): Stream<Batch> =>
  pipe(
    jsonl(file),
    tokenize(tokenizer),
    shuffle({ seed: 5, window: 6 }),
    pack({ context: 8, endOfText: 12 }),
    repeat(),
    batch({ size: 2 }),
  );

/** Trains LoRA on a file for twenty steps; the trained values by name. */
export const trainFromFile = async (
  file: FilePlace,
  checkpoint: string | null,
  onStep: (progress: Progress) => unknown = () => {},
  signal?: AbortSignal,
): Promise<Record<string, readonly number[]>> => {
  const adapted = attach(tinyLlama(), [lora({ rank: 2, dropout: 0.2 })]);
  // The reference computes in double precision, of which a file keeps only a part.
  const executor = await cpu();
  await train(adapted, {
    executor,
    data: streamOf(file),
    steps: 20,
    accumulate: 2,
    schedule: linear({ learningRate: 0.02, steps: 20 }),
    onStep,
    ...(checkpoint && { checkpoint: { file: checkpoint, every: 1 } }),
    ...(signal && { signal }),
  });
  const values = new Map<string, readonly number[]>();
  for (const [name, v] of adapted.params) values.set(name, [...(await executor.read(v))]);
  await executor.close();
  return Object.fromEntries(values);
};

// As a program: trains, telling each step, and prints the values at the end.
const [script, file, checkpoint] = process.argv.slice(1);
if (script === import.meta.filename && file && checkpoint) {
  const values = await trainFromFile(file, checkpoint, ({ step }) => console.log(`step ${step}`));
  console.log(JSON.stringify(values));
}
