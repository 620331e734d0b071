// Measures the formats of storage on the base model and writes docs/storage.md and docs/storage.svg.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { baseModelDir } from '@peftjs/base-model';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { quantize, quantizeByGptq } from '@peftjs/quant';
import { loadModel } from '@peftjs/transformer';
import { figure } from './figure.ts';
import { formats, gptqBits, gptqName } from './formats.ts';
import { type Measured, measured, peakOf, predictionsOf, tunedOn } from './measure.ts';
import { page } from './table.ts';
import { textOf } from './tune.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const cut = (ids: readonly number[], length: number, most: number): number[][] =>
  Array.from({ length: Math.min(most, Math.floor(ids.length / length)) }, (_, i) =>
    ids.slice(i * length, (i + 1) * length),
  );

const dir = baseModelDir();
const [tokenizer, model, executor] = [await loadTokenizer(dir), await loadModel(dir), await cpu()];
const idsOf = (file: string): number[] => Array.from(tokenizer.encode(readFileSync(at(file), 'utf8')));
const texts = cut(idsOf('tools/golden/data/held-out.txt'), 96, 3);
const decisions = readdirSync(at('docs/decisions')).sort().slice(0, 24);
const seen = cut(
  decisions.flatMap((file) => idsOf(`docs/decisions/${file}`)),
  128,
  35,
);
const data = [
  { rows: seen.length, columns: { ids: Int32Array.from(seen.flat()) }, shapes: { ids: [seen.length, 128] as const } },
];

const text = await textOf(tokenizer);
const floats = { model, predictions: await predictionsOf(model, texts, executor) };
const rows: Measured[] = [];
const tell = (row: Measured): void => {
  rows.push(row);
  console.error(row);
};
for (const [name, format] of Object.entries(formats))
  tell(await measured(name, quantize(model, format), floats, texts, text, executor));
for (const bits of gptqBits) {
  const made = await quantizeByGptq(model, { executor, data, bits });
  tell(await measured(gptqName(bits), made, floats, texts, text, executor));
}
writeFileSync(
  at('docs/storage.md'),
  page(
    { loss: floats.predictions.loss, peak: await peakOf(model, executor), ...(await tunedOn(model, text, executor)) },
    rows,
  ),
);
writeFileSync(at('docs/storage.svg'), figure(rows));
await executor.close();
