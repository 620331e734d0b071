// Compares our vectors of all-MiniLM-L6-v2 with those of sentence-transformers in data/sentences/minilm.json, and prints the largest difference.
// Usage: node --conditions=@peftjs/source --import tsx minilm.ts FOLDER
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { constant, evaluate } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { loadModel, sentenceTask } from '@peftjs/transformer';
import { requireSameFiles } from './src/require-same-files.ts';

const [folder] = process.argv.slice(2);
if (!folder) throw new Error('give the folder of all-MiniLM-L6-v2');
const { base, texts, vectors } = JSON.parse(
  await readFile(join(import.meta.dirname, 'data/sentences/minilm.json'), 'utf8'),
) as {
  readonly base: Readonly<Record<string, string>>;
  readonly texts: readonly string[];
  readonly vectors: readonly (readonly number[])[];
};
await requireSameFiles(folder, base);
const tokenizer = await loadTokenizer(folder);
const model = await loadModel(folder, { task: await sentenceTask(folder) });
const rows = texts.map((text) => [...tokenizer.encode(text)]);
const width = Math.max(...rows.map((row) => row.length));
const ids = Int32Array.from(rows.flatMap((row) => [...row, ...Array<number>(width - row.length).fill(0)]));
const mask = Float32Array.from(rows.flatMap((row) => Array.from({ length: width }, (_, t) => Number(t < row.length))));
const shape = [rows.length, width];
const executor = await cpu();
const { out } = await evaluate(
  { out: model.outputs({ ids: constant(ids, shape), mask: constant(mask, shape) }) },
  { executor },
);
console.log(`${texts.length} texts: the largest difference is ${distance(out!, vectors.flat())}`);
await executor.close();
