import { baseEncoderDir } from '@peftjs/base-encoder';
import { cpu } from '@peftjs/onnx';
import { evaluateLoss } from '@peftjs/trainer';
import { buildModel, loadModel, maskedLM, parseConfig, randomWeights, saveModel } from '@peftjs/transformer';
import { baseModelDir } from '../src/index.ts';
import { pretrainingCorpus } from './corpus.ts';
import { encoderSpecials, encoderTokenizerConfig, encoderTokenizerJson } from './encoder-tokenizer.ts';
import { type Masking, maskedRow } from './masked-rows.ts';
import { batchesOf, flags, heldOutOrders, orderOf, pretrain, rowsOf, told, writeJson } from './pretraining.ts';
import { readTokenizer } from './token-stream.ts';

// Pretrains the encoder on the text of the base model and writes its folder: config, tokenizer, weights (f16) and training.json.
const asked = flags({ steps: 1250, batchSize: 8, out: baseEncoderDir() });
const { steps, learningRate, batchSize, seed, out, threads } = asked;
const context = 128;

const tokenizer = readTokenizer(baseModelDir());
const base = tokenizer.get_vocab().size;
const [clsId, sepId, padId, maskId] = encoderSpecials.map((_, i) => base + i) as [number, number, number, number];
await writeJson(out, 'tokenizer.json', encoderTokenizerJson(baseModelDir()), 0);
await writeJson(out, 'tokenizer_config.json', encoderTokenizerConfig(context));

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
const corpus = pretrainingCorpus();
const [learned, heldOut] = [corpus.train, corpus.heldOut].map((part) => rowsOf(tokenizer, part, context - 2)) as [
  Uint16Array[],
  Uint16Array[],
];
const { whole, glimpse } = heldOutOrders(heldOut.length, batchSize);
const withheld = (order: readonly number[]) =>
  batchesOf(heldOut, order, batchSize, (row, visit) => maskedRow(row, 1, visit, masking));

const executor = await cpu(threads);
const model = buildModel(config, randomWeights(config, seed, maskedLM()), maskedLM());
const result = await pretrain(
  model,
  asked,
  executor,
  batchesOf(learned, orderOf(learned.length, steps * batchSize, seed), batchSize, (row, visit) =>
    maskedRow(row, seed, visit, masking),
  ),
  withheld(glimpse),
);
await saveModel(model, out, { executor, dtype: 'f16' });
await executor.close();

// What is shipped is measured: the weights as rounded to f16.
const device = await cpu(threads);
const shipped = await loadModel(out, { task: maskedLM() });
const measured = await evaluateLoss(shipped, withheld(whole), { executor: device });
const { parameters, trainLoss, seconds, curve } = told(shipped, result);
const summary = {
  parameters,
  seed,
  steps,
  batchSize,
  context,
  learningRate,
  share: masking.share,
  epochs: (steps * batchSize) / learned.length,
  trainTokens: steps * batchSize * context,
  trainLoss,
  heldOutLoss: measured.loss,
  heldOutTokens: measured.tokens,
  seconds,
  curve,
};
await writeJson(out, 'training.json', summary);
await device.close();
process.stdout.write(`${JSON.stringify(summary)}\n`);
