// Measures the formats of storage on the base model and writes docs/storage.md and docs/storage.svg.
import { writeFileSync } from 'node:fs';
import { baseModelDir } from '@peftjs/base-model';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { loadModel } from '@peftjs/transformer';
import { at, baseOf, names, textsOf } from './bases.ts';
import { figure } from './figure.ts';
import { type Measured, measured, predictionsOf } from './measure.ts';
import { page } from './table.ts';
import { textOf } from './tune.ts';

const dir = baseModelDir();
const [tokenizer, model, executor] = [await loadTokenizer(dir), await loadModel(dir), await cpu()];
const texts = textsOf(tokenizer, ['tools/golden/data/held-out.txt'], 96, 3);
const text = await textOf(tokenizer);
const floats = { model, predictions: await predictionsOf(model, texts, executor) };
const rows: Measured[] = [];
for (const name of ['f32', ...names]) {
  const base = await baseOf(name, model, tokenizer, executor);
  const row = await measured(name, base, floats, texts, text, executor);
  rows.push(row);
  console.error(row);
}
writeFileSync(at('docs/storage.md'), page(rows));
writeFileSync(at('docs/storage.svg'), figure(rows.slice(1)));
await executor.close();
