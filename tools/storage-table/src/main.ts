// Measures the formats of storage on the base model and writes docs/storage.md and docs/storage.svg. A measure is a line of `results`; those that
// are there are not taken again. `--kept` leaves the speeds, which want a machine that does nothing else, for another time.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { baseModelDir } from '@peftjs/base-model';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { type CausalLM, loadModel } from '@peftjs/transformer';
import { at, baseOf, names, textsOf } from './bases.ts';
import { figure } from './figure.ts';
import { type Kept, keptOf, predictionsOf, type Speed, speedOf } from './measure.ts';
import { page } from './table.ts';
import { textOf } from './tune.ts';

const dir = baseModelDir();
const [tokenizer, model, executor] = [await loadTokenizer(dir), await loadModel(dir), await cpu()];
const texts = textsOf(tokenizer, ['tools/golden/data/held-out.txt'], 96, 3);
const text = await textOf(tokenizer);
const floats = { model, predictions: await predictionsOf(model, texts, executor) };
const all = ['f32', ...names];

/** The lines of a file of results, after those that lack were measured. */
const measured = async <T extends { readonly name: string }>(
  file: string,
  measure: (name: string, base: CausalLM) => Promise<T>,
): Promise<ReadonlyMap<string, T>> => {
  const path = at(`tools/storage-table/results/${file}.jsonl`);
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
  const rows = new Map(lines.map((line) => JSON.parse(line) as T).map((row) => [row.name, row]));
  for (const name of all.filter((one) => !rows.has(one))) {
    const row = await measure(name, await baseOf(name, model, tokenizer, executor));
    console.error(row);
    appendFileSync(path, `${JSON.stringify(row)}\n`);
    rows.set(name, row);
  }
  return rows;
};

const kept = await measured<Kept>('kept', (name, base) => keptOf(name, base, floats, texts, text, executor));
if (!process.argv.includes('--kept')) {
  const speeds = await measured<Speed>('speeds', (name, base) => speedOf(name, base, model, text, executor));
  const rows = all.map((name) => ({ ...kept.get(name)!, ...speeds.get(name)! }));
  writeFileSync(at('docs/storage.md'), page(rows));
  writeFileSync(at('docs/storage.svg'), figure(rows.slice(1)));
}
await executor.close();
