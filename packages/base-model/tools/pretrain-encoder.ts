import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { baseEncoderDir } from '@peftjs/base-encoder';
import { type Batch, batch, fromArray, map, pipe, type Row, type Stream } from '@peftjs/data';
import { writeFileAtomic } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { randomSource, sizeOf } from '@peftjs/tensor';
import { adamw, allWeights, chain, clip, cosine, evaluateLoss, progressLine, train } from '@peftjs/trainer';
import {
  buildModel,
  loadModel,
  maskedLM,
  parameters,
  parseConfig,
  randomWeights,
  saveModel,
} from '@peftjs/transformer';
import { baseModelDir, type Document } from '../src/index.ts';
import { pretrainingCorpus } from './corpus.ts';
import { encoderSpecials, encoderTokenizerConfig, encoderTokenizerJson } from './encoder-tokenizer.ts';
import { type Masking, maskedRow } from './masked-rows.ts';
import { readTokenizer, tokenStream } from './token-stream.ts';

// Pretrains the encoder on the text of the base model and writes its folder: config, tokenizer, weights (f16) and training.json.
const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '1250' },
    'learning-rate': { type: 'string', default: '3e-3' },
    'batch-size': { type: 'string', default: '8' },
    seed: { type: 'string', default: '0' },
    out: { type: 'string', default: baseEncoderDir() },
    threads: { type: 'string' },
    // Kept every 50 steps; the same command goes on from it.
    checkpoint: { type: 'string' },
  },
});
const steps = Number(values.steps);
const learningRate = Number(values['learning-rate']);
const batchSize = Number(values['batch-size']);
const seed = Number(values.seed);
const context = 128;

const tokenizer = readTokenizer(baseModelDir());
const base = tokenizer.get_vocab().size;
const [clsId, sepId, padId, maskId] = encoderSpecials.map((_, i) => base + i) as [number, number, number, number];
await mkdir(values.out, { recursive: true });
const json = async (name: string, content: object, indent = 2): Promise<void> =>
  writeFile(join(values.out, name), `${JSON.stringify(content, null, indent)}\n`);
await json('tokenizer.json', encoderTokenizerJson(baseModelDir()), 0);
await json('tokenizer_config.json', encoderTokenizerConfig(context));

const config = await parseConfig({
  model_type: 'modernbert',
  vocab_size: base + encoderSpecials.length,
  hidden_size: 128,
  intermediate_size: 256,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  max_position_embeddings: context,
  layer_types: Array.from({ length: 4 }, () => 'full_attention'),
  global_rope_theta: 10_000,
  pad_token_id: padId,
  bos_token_id: clsId,
  eos_token_id: sepId,
});

const masking: Masking = { share: 0.3, maskId, vocabSize: base, firstId: clsId, lastId: sepId };
const rowsOf = (documents: readonly Document[]): Uint16Array[] => {
  const stream = tokenStream(tokenizer, documents);
  const width = context - 2;
  return Array.from({ length: Math.floor(stream.length / width) }, (_, i) =>
    stream.subarray(i * width, (i + 1) * width),
  );
};
/** Rows in an order, each with tokens hidden anew at every visit. */
const batches = (rows: readonly Uint16Array[], order: readonly number[], of: string): Stream<Batch> =>
  pipe(
    fromArray(Array.from(order, (row, visit) => ({ row, visit }))),
    map((at): Row => {
      const { row, visit } = at as { row: number; visit: number };
      return maskedRow(rows[row]!, of === 'train' ? seed : 1, visit, masking);
    }),
    batch({ size: batchSize, mask: false }),
  );

const corpus = pretrainingCorpus();
const [learned, heldOut] = [rowsOf(corpus.train), rowsOf(corpus.heldOut)];
const order: number[] = [];
for (let visit = 0; order.length < steps * batchSize; visit++) {
  const random = randomSource(seed, `order ${visit}`);
  const keys = learned.map((_, i) => [random(), i] as const);
  order.push(...keys.sort(([a], [b]) => a - b).map(([, i]) => i));
}
const all = heldOut.map((_, i) => i);
const whole = all.slice(0, Math.floor(all.length / batchSize) * batchSize);
// A sixteenth of the held-out rows shows the way; all are measured at the end.
const glimpse = whole.slice(0, Math.floor(whole.length / 16 / batchSize) * batchSize);

const threads = values.threads === undefined ? {} : { threads: Number(values.threads) };
const executor = await cpu(threads);
const model = buildModel(config, randomWeights(config, seed, maskedLM()), maskedLM());
const result = await train(allWeights(model), {
  executor,
  data: batches(learned, order.slice(0, steps * batchSize), 'train'),
  steps,
  seed,
  schedule: cosine({ learningRate, steps, warmup: Math.min(100, Math.ceil(steps / 10)), floor: 0.02 }),
  optimizer: chain(clip(1), adamw({ beta2: 0.98, weightDecay: 0.05 })),
  heldOut: { data: batches(heldOut, glimpse, 'held out'), every: Math.max(1, Math.floor(steps / 6)), metrics: [] },
  ...(values.checkpoint && { checkpoint: { file: values.checkpoint, every: 50 } }),
  onStep: progressLine({ label: 'pretraining', lines: 60 }),
});
await saveModel(model, values.out, { executor, dtype: 'f16' });
await executor.close();

// What is shipped is measured: the weights as rounded to f16.
const device = await cpu(threads);
const shipped = await loadModel(values.out, { task: maskedLM() });
const measured = await evaluateLoss(shipped, batches(heldOut, whole, 'held out'), { executor: device });
const trained = result.losses.slice(-100).reduce((n, l) => n + l.loss, 0) / Math.min(100, result.losses.length);
const summary = {
  parameters: [...parameters(shipped).values()].reduce((n, p) => n + sizeOf(p.shape), 0),
  seed,
  steps,
  batchSize,
  context,
  learningRate,
  share: masking.share,
  epochs: (steps * batchSize) / learned.length,
  trainTokens: steps * batchSize * context,
  trainLoss: trained,
  heldOutLoss: measured.loss,
  heldOutTokens: measured.tokens,
  seconds: Math.round(result.seconds),
  curve: result.heldOut.map(({ step, loss }) => ({ step, loss })),
};
await writeFileAtomic(join(values.out, 'training.json'), `${JSON.stringify(summary, null, 2)}\n`);
await device.close();
process.stdout.write(`${JSON.stringify(summary)}\n`);
