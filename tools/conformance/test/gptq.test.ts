import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { loadTokenizer } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { hqq, int3, quantize, quantizeByGptq } from '@peftjs/quant';
import { evaluate } from '@peftjs/tensor';
import { tokens } from '@peftjs/testkit';
import { type CausalLM, loadModel } from '@peftjs/transformer';
import { expect, onTestFinished, test } from 'vitest';

/** Logarithms of the probabilities that logits stand for, row by row. */
const logProbsOf = (logits: Float32Array, size: number): Float32Array[] =>
  Array.from({ length: logits.length / size }, (_, i) => {
    const row = logits.subarray(i * size, (i + 1) * size);
    const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const sum = row.reduce((total, v) => total + Math.exp(v - most), 0);
    return row.map((v) => v - most - Math.log(sum));
  });

/** The mean divergence of predictions q from p, in nats a token. */
const divergence = (p: readonly Float32Array[], q: readonly Float32Array[]): number =>
  p.reduce((sum, row, i) => sum + row.reduce((s, v, j) => s + Math.exp(v) * (v - q[i]![j]!), 0), 0) / p.length;

test('at 3 bits what the base model predicts of other text changes less by GPTQ, and by HQQ, than by rounding', {
  timeout: 240_000,
}, async () => {
  const dir = baseModelDir();
  const [tokenizer, model, executor] = [await loadTokenizer(dir), await loadModel(dir), await cpu()];
  onTestFinished(() => executor.close());
  const folder = join(import.meta.dirname, '../../../docs/decisions');
  const files = (await readdir(folder)).sort().slice(0, 24);
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  const ids = texts.flatMap((text) => Array.from(tokenizer.encode(text)));
  const length = 128;
  const rows = Array.from({ length: 40 }, (_, i) => ids.slice(i * length, (i + 1) * length));
  // Texts to learn from, and others.
  const [seen, held] = [rows.filter((_, i) => i % 8 > 0), rows.filter((_, i) => i % 8 === 0)];
  const data = [
    { rows: seen.length, columns: { ids: Int32Array.from(seen.flat()) }, shapes: { ids: [seen.length, length] } },
  ];
  const logitsOf = async (base: CausalLM): Promise<Float32Array> =>
    (await evaluate({ logits: base.logits(tokens(...held)) }, { executor }))['logits'] as Float32Array;
  const whole = logProbsOf(await logitsOf(model), model.config.vocabSize);
  const lostBy = async (base: CausalLM): Promise<number> =>
    divergence(whole, logProbsOf(await logitsOf(base), model.config.vocabSize));
  const rounded = await lostBy(quantize(model, int3({ blockSize: 32 })));
  const byHqq = await lostBy(quantize(model, hqq({ bits: 3, blockSize: 32 })));
  const made = await quantizeByGptq(model, { executor, data, bits: 3 });
  const byGptq = await lostBy(made);
  expect(byGptq).toBeLessThan(0.7 * rounded);
  expect(byHqq).toBeLessThan(rounded);
});
