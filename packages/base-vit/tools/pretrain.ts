import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Batch, batch, fromArray, map, pipe, type Row, type Stream } from '@peftjs/data';
import { writeFileAtomic } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { randomSource, sizeOf } from '@peftjs/tensor';
import { adamw, allWeights, chain, clip, cosine, evaluateModel, progressLine, train } from '@peftjs/trainer';
import {
  buildModel,
  imageClassifier,
  loadModel,
  parameters,
  parseConfig,
  randomWeights,
  saveModel,
} from '@peftjs/transformer';
import { loadImageProcessor } from '@peftjs/vision';
import { baseVitDir } from '../src/index.ts';
import { debianFolder, fashionPictures, type Pictures, seen, side } from './fashion.ts';
import { moved } from './moved.ts';

// Pretrains the vision transformer on seven classes of Fashion-MNIST and writes its folder: config, preprocessing, weights (f16) and training.json.
const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '1200' },
    'learning-rate': { type: 'string', default: '1e-3' },
    'batch-size': { type: 'string', default: '32' },
    seed: { type: 'string', default: '0' },
    data: { type: 'string', default: debianFolder },
    out: { type: 'string', default: baseVitDir() },
    threads: { type: 'string' },
    // Kept every 50 steps; the same command goes on from it.
    checkpoint: { type: 'string' },
  },
});
const steps = Number(values.steps);
const learningRate = Number(values['learning-rate']);
const batchSize = Number(values['batch-size']);
const seed = Number(values.seed);

await mkdir(values.out, { recursive: true });
const preprocessing = {
  image_processor_type: 'ViTImageProcessor',
  size: { height: side, width: side },
  resample: 2,
  do_resize: true,
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.286],
  image_std: [0.353],
};
await writeFile(join(values.out, 'preprocessor_config.json'), `${JSON.stringify(preprocessing, null, 2)}\n`);
const processor = await loadImageProcessor(values.out);

const config = await parseConfig({
  model_type: 'vit',
  hidden_size: 128,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  intermediate_size: 512,
  image_size: side,
  patch_size: 4,
  num_channels: 1,
});
const task = imageClassifier({ labels: seen, labelSmoothing: 0.1 });

/** Pictures in an order, each moved anew at every visit where they are to be learnt. */
const batches = (pictures: Pictures, order: readonly number[], learns: boolean): Stream<Batch> =>
  pipe(
    fromArray(Array.from(order, (picture, visit) => ({ picture, visit }))),
    map(async (at): Promise<Row> => {
      const { picture, visit } = at as { picture: number; visit: number };
      const own = pictures.pixels[picture]!;
      const data = learns ? moved(own, side, randomSource(seed, `move ${visit}`)) : own;
      const { data: pixels } = await processor.process({ width: side, height: side, channels: 1, data });
      return { pixels, labels: Int32Array.of(seen.indexOf(pictures.names[picture]!)) };
    }),
    batch({ size: batchSize, shapes: { pixels: [1, side, side], labels: [] } }),
  );

const [learned, heldOut] = [fashionPictures(values.data, 'train', seen), fashionPictures(values.data, 't10k', seen)];
const order: number[] = [];
for (let visit = 0; order.length < steps * batchSize; visit++) {
  const random = randomSource(seed, `order ${visit}`);
  const keys = learned.names.map((_, i) => [random(), i] as const);
  order.push(...keys.sort(([a], [b]) => a - b).map(([, i]) => i));
}
const all = heldOut.names.map((_, i) => i).slice(0, Math.floor(heldOut.names.length / batchSize) * batchSize);
// The first of the held-out pictures show the way; all are measured at the end.
const glimpse = all.slice(0, 512);

const threads = values.threads === undefined ? {} : { threads: Number(values.threads) };
const executor = await cpu(threads);
const model = buildModel(config, randomWeights(config, seed, task), task);
const result = await train(allWeights(model), {
  executor,
  data: batches(learned, order.slice(0, steps * batchSize), true),
  steps,
  seed,
  schedule: cosine({ learningRate, steps, warmup: Math.min(150, Math.ceil(steps / 10)), floor: 0.01 }),
  optimizer: chain(clip(1), adamw({ weightDecay: 0.05 })),
  heldOut: { data: batches(heldOut, glimpse, false), every: Math.max(1, Math.floor(steps / 5)) },
  ...(values.checkpoint && { checkpoint: { file: values.checkpoint, every: 50 } }),
  onStep: progressLine({ label: 'pretraining', lines: 60 }),
});
await saveModel(model, values.out, { executor, dtype: 'f16' });
await executor.close();

// What is shipped is measured: the weights as rounded to f16.
const device = await cpu(threads);
const shipped = await loadModel(values.out, { task: imageClassifier({ labels: seen }) });
const measured = await evaluateModel(shipped, batches(heldOut, all, false), { executor: device });
const summary = {
  parameters: [...parameters(shipped).values()].reduce((n, p) => n + sizeOf(p.shape), 0),
  classes: seen,
  seed,
  steps,
  batchSize,
  learningRate,
  pictures: learned.names.length,
  epochs: (steps * batchSize) / learned.names.length,
  trainLoss: result.losses.slice(-100).reduce((n, l) => n + l.loss, 0) / Math.min(100, result.losses.length),
  heldOutPictures: all.length,
  heldOutLoss: measured.loss,
  heldOutMetrics: measured.metrics,
  seconds: Math.round(result.seconds),
  curve: result.heldOut,
};
await writeFileAtomic(join(values.out, 'training.json'), `${JSON.stringify(summary, null, 2)}\n`);
await device.close();
process.stdout.write(`${JSON.stringify(summary)}\n`);
