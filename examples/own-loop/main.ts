import { baseModelDir } from '@peftjs/base-model';
import { attach, rDrop } from '@peftjs/core';
import { loadTokenizer } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { adamw, chain, clip, evaluateLoss, makeTrainStep, packTokens, trainingBatches } from '@peftjs/trainer';
import { loadModel } from '@peftjs/transformer';

const dir = baseModelDir();
const [tokenizer, model, executor] = [await loadTokenizer(dir), await loadModel(dir), await cpu()];
const text = 'It was the best of times, it was the worst of times, it was the age of wisdom. '.repeat(40);
const data = packTokens([tokenizer.encode(text)], { context: 32, endOfText: tokenizer.eosId ?? 0 });

const adapted = attach(model, [lora({ rank: 8, dropout: 0.1 })]);
const step = await makeTrainStep(adapted, {
  executor,
  optimizer: chain(clip(1), adamw()),
  objective: rDrop(), // or (views, inputs) => Loss
  gathers: true, // several batches a step
});

const batches = trainingBatches(data, 2, 0);
let learningRate = 2e-3;
let [best, since] = [Number.POSITIVE_INFINITY, 0];
for (let i = 0; since < 3 && i < 30; i++) {
  for (let k = 0; k < 2; k++) await step.collect(batches.next().value, 2 * i + k); // the number seeds the dropout
  await step.apply(i, learningRate); // one mean over both batches, clipped
  const [{ loss } = { loss: Number.NaN }] = await step.results(); // waits for the device
  if (loss < best) [best, since] = [loss, 0];
  else since++;
  if (since === 2) learningRate /= 2; // whatever you like
}
step.close();
console.log(`${(await evaluateLoss(adapted.model, data, { executor, batchSize: 4 })).loss.toFixed(2)} nats per token`);
await executor.close();
