// src/main.ts
import {
  attach,
  batch,
  buildModel,
  columns,
  cpu,
  fromArray,
  load,
  parseConfig,
  pipe,
  randomWeights,
  repeat,
  save,
  train,
} from 'peftjs';
import { adagrad } from './adagrad.js';
import { focalClassifier } from './focal-classifier.js';
import { loraFa } from './lora-fa.js';

const executor = await cpu();
const task = focalClassifier({ labels: 2 });
const config = await parseConfig({
  model_type: 'bert',
  vocab_size: 12,
  hidden_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 32,
  max_position_embeddings: 8,
});
const model = buildModel(config, randomWeights(config, 0, task), task); // or loadModel(dir, { task })
const rows = Array.from({ length: 12 }, (_, i) => ({ ids: [2 + (i % 8), 3], labels: i % 2 }));
const data = pipe(
  fromArray(rows),
  columns({ ids: 'i32', labels: 'i32' }),
  repeat(),
  batch({ size: 12, shapes: { labels: [] } }),
);

const adapted = attach(model, [loraFa({ rank: 4 })]);
const { losses } = await train(adapted, { executor, data, steps: 30, optimizer: adagrad(), schedule: () => 0.1 });
await save(adapted, 'my-adapter', { executor });
const again = await load(model, 'my-adapter', [loraFa]);
console.log(again.method.name, losses.at(-1)!.loss < losses[0]!.loss); // loraFa true
await executor.close();
