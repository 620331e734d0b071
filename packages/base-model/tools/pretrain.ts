import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFileAtomic } from '@peftjs/io';
import { cpu } from '@peftjs/onnx';
import { sizeOf } from '@peftjs/tensor';
import {
  adamw,
  allWeights,
  chain,
  clip,
  cosine,
  evaluateLoss,
  packTokens,
  progressLine,
  type TokenRows,
  train,
} from '@peftjs/trainer';
import { buildModel, type LlamaConfig, loadModel, parameters, randomWeights, saveModel } from '@peftjs/transformer';
import { baseModelDir, type Document } from '../src/index.ts';
import { pretrainingCorpus } from './corpus.ts';
import { readTokenizer } from './token-stream.ts';
import { endOfText } from './tokenizer-files.ts';

// Pretrains the base model and writes config.json, model.safetensors (f16) and training.json into the model folder.
const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '2600' },
    'learning-rate': { type: 'string', default: '3e-3' },
    'batch-size': { type: 'string', default: '8' },
    seed: { type: 'string', default: '0' },
    out: { type: 'string', default: baseModelDir() },
    threads: { type: 'string' },
    // Kept every 100 steps; the same command goes on from it.
    checkpoint: { type: 'string' },
  },
});
const steps = Number(values.steps);
const learningRate = Number(values['learning-rate']);
const batchSize = Number(values['batch-size']);
const seed = Number(values.seed);
const context = 256;

const tokenizer = readTokenizer(baseModelDir());
const endId = tokenizer.token_to_id(endOfText)!;

const config: LlamaConfig = {
  modelType: 'llama',
  vocabSize: tokenizer.get_vocab().size,
  hiddenSize: 256,
  intermediateSize: 576,
  layers: 4,
  heads: 8,
  keyValueHeads: 4,
  headDim: 32,
  maxPositions: context,
  normEps: 1e-5,
  tieWordEmbeddings: true,
  attentionBias: false,
  mlpBias: false,
  activation: 'silu',
  ropeTheta: 10_000,
  ropeScaling: null,
  bosId: endId,
  eosIds: [endId],
  padId: null,
  architectures: [],
  labels: null,
};

const rowsOf = (documents: readonly Document[], keepRest: boolean): TokenRows =>
  packTokens(
    documents.map(({ text }) => tokenizer.encode(text, { add_special_tokens: false }).ids),
    { context, endOfText: endId, keepRest },
  );

const corpus = pretrainingCorpus();
const data = rowsOf(corpus.train, false);
const heldOut = rowsOf(corpus.heldOut, true);
// A sixteenth of the held-out rows shows the way; the whole of them is measured at the end.
const glimpse: TokenRows = { context, rows: heldOut.rows.filter((_, i) => i % 16 === 0) };

const threads = values.threads === undefined ? {} : { threads: Number(values.threads) };
const executor = await cpu(threads);
const model = buildModel(config, randomWeights(config, seed));
const result = await train(allWeights(model), {
  executor,
  data,
  steps,
  batchSize,
  seed,
  schedule: cosine({ learningRate, steps, warmup: Math.min(200, Math.ceil(steps / 10)), floor: 0.02 }),
  optimizer: chain(clip(1), adamw({ beta2: 0.98, weightDecay: 0.1 })),
  heldOut: { data: glimpse, every: Math.max(1, Math.floor(steps / 12)) },
  ...(values.checkpoint && { checkpoint: { file: values.checkpoint, every: 100 } }),
  onStep: progressLine({ label: 'pretraining', lines: 60 }),
});
await saveModel(model, values.out, { executor, dtype: 'f16' });
await executor.close();

// What is shipped is measured: the weights as rounded to f16.
const device = await cpu(threads);
const shipped = await loadModel(values.out);
const measured = await evaluateLoss(shipped, heldOut, { executor: device, batchSize });
const trained = result.losses.slice(-100).reduce((n, l) => n + l.loss, 0) / Math.min(100, result.losses.length);
const summary = {
  parameters: [...parameters(shipped).values()].reduce((n, p) => n + sizeOf(p.shape), 0),
  seed,
  steps,
  batchSize,
  context,
  learningRate,
  epochs: (steps * batchSize) / data.rows.length,
  trainTokens: steps * batchSize * context,
  trainLoss: trained,
  heldOutLoss: measured.loss,
  heldOutTokens: measured.tokens,
  tokensPerSecond: Math.round(result.tokensPerSecond),
  seconds: Math.round(result.seconds),
  curve: result.heldOut,
};
await writeFileAtomic(join(values.out, 'training.json'), `${JSON.stringify(summary, null, 2)}\n`);
await device.close();
process.stdout.write(`${JSON.stringify(summary)}\n`);
