import { baseSeq2seqDir } from '@peftjs/base-seq2seq';
import { cpu } from '@peftjs/onnx';
import { evaluateLoss } from '@peftjs/trainer';
import {
  buildModel,
  loadModel,
  parseConfig,
  randomWeights,
  saveModel,
  seq2seqLM,
  type WeightSource,
} from '@peftjs/transformer';
import { baseModelDir } from '../src/index.ts';
import { pretrainingCorpus } from './corpus.ts';
import { batchesOf, flags, heldOutOrders, orderOf, pretrain, rowsOf, told, writeJson } from './pretraining.ts';
import { seq2seqSpecials, seq2seqTokenizerConfig, seq2seqTokenizerJson } from './seq2seq-tokenizer.ts';
import { type Spans, spanRow, type Written } from './span-rows.ts';
import { readTokenizer } from './token-stream.ts';
import { unigramLoss } from './unigram.ts';

// Pretrains the encoder-decoder on the text of the base model and writes its folder: config, tokenizer, weights (f16) and training.json.
const asked = flags({ steps: 2000, batchSize: 16, out: baseSeq2seqDir() });
const { steps, learningRate, batchSize, seed, out, threads } = asked;
const width = 64;

const tokenizer = readTokenizer(baseModelDir());
const base = tokenizer.get_vocab().size;
const [endId, padId, firstSentinel] = seq2seqSpecials.map((_, i) => base + i) as [number, number, number];
await writeJson(out, 'tokenizer.json', seq2seqTokenizerJson(baseModelDir()), 0);
await writeJson(out, 'tokenizer_config.json', seq2seqTokenizerConfig(512));

const [heads, buckets] = [4, 32];
const config = await parseConfig({
  model_type: 't5',
  vocab_size: base + seq2seqSpecials.length,
  d_model: 128,
  d_kv: 32,
  d_ff: 256,
  num_layers: 2,
  num_decoder_layers: 2,
  num_heads: heads,
  relative_attention_num_buckets: buckets,
  relative_attention_max_distance: 128,
  feed_forward_proj: 'gated-gelu',
  tie_word_embeddings: false,
  decoder_start_token_id: padId,
  pad_token_id: padId,
  eos_token_id: endId,
});

const spans: Spans = { share: 0.3, length: 3, firstSentinel, endId, startId: padId };
const corpus = pretrainingCorpus();
const [learned, heldOut] = [corpus.train, corpus.heldOut].map((part) => rowsOf(tokenizer, part, width)) as [
  Uint16Array[],
  Uint16Array[],
];
const { whole, glimpse } = heldOutOrders(heldOut.length, batchSize);
/** Only the text's own tokens are measured, not those that say which span it is. */
const withheld = (order: readonly number[], written: Written) =>
  batchesOf(heldOut, order, batchSize, (row, visit) => spanRow(row, 1, visit, written, spans, true));

const executor = await cpu(threads);
const start = randomWeights(config, seed, seq2seqLM());
/** Heads begin with an eye for places, each for others: with values as small as those of all else it takes a thousand steps until one looks at the token before. */
const places: WeightSource = {
  ...start,
  load: (name, shape) => {
    const init = start.load(name, shape);
    if (shape[0] !== buckets || shape[1] !== heads) return init;
    return async () =>
      ((await (init as () => Float32Array | Promise<Float32Array>)()) as Float32Array).map((value) => 100 * value);
  },
};
const model = buildModel(config, places, seq2seqLM());
const result = await pretrain(
  model,
  asked,
  executor,
  // One batch of spans, one of whole texts, which teach the decoder to look where it is in the encoder's text.
  batchesOf(learned, orderOf(learned.length, steps * batchSize, seed), batchSize, (row, visit) =>
    spanRow(row, seed, visit, Math.floor(visit / batchSize) % 2 === 0 ? 'spans' : 'text', spans),
  ),
  withheld(glimpse, 'spans'),
);
await saveModel(model, out, { executor, dtype: 'f16' });
await executor.close();

// What is shipped is measured: the weights as rounded to f16.
const device = await cpu(threads);
const shipped = await loadModel(out, { task: seq2seqLM() });
const measured = await evaluateLoss(shipped, withheld(whole, 'spans'), { executor: device });
const texts = await evaluateLoss(shipped, withheld(whole, 'text'), { executor: device });
const { parameters, trainLoss, seconds, curve } = told(shipped, result);
const summary = {
  parameters,
  seed,
  steps,
  batchSize,
  width,
  learningRate,
  share: spans.share,
  spanLength: spans.length,
  epochs: (steps * batchSize) / learned.length,
  trainTokens: steps * batchSize * width,
  trainLoss,
  heldOutLoss: measured.loss,
  heldOutTokens: measured.tokens,
  unigramLoss: unigramLoss(learned, heldOut, base),
  wholeTextLoss: texts.loss,
  wholeTextTokens: texts.tokens,
  seconds,
  curve,
};
await writeJson(out, 'training.json', summary);
await device.close();
process.stdout.write(`${JSON.stringify(summary)}\n`);
