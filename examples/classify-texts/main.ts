// Teaches a model of the BERT kind to tell classes of texts: npx tsx main.ts texts.jsonl <folder of a model in Hugging Face layout>
import { readFile } from 'node:fs/promises';
import {
  argmax,
  attach,
  batch,
  constant,
  cpu,
  evaluate,
  jsonl,
  load,
  loadModel,
  loadTokenizer,
  lora,
  map,
  pipe,
  progressLine,
  repeat,
  save,
  sequenceClassifier,
  shuffle,
  train,
} from 'peftjs';

const [file = 'texts.jsonl', dir = 'my-bert'] = process.argv.slice(2);
interface Example {
  readonly text: string;
  readonly label: string;
}
const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line.trim() !== '');
const labels = [...new Set(lines.map((line) => (JSON.parse(line) as Example).label))].sort();

// The classifier's head is new: it is trained whole, beside LoRA in the layers below.
const task = sequenceClassifier({ labels });
const [tokenizer, base, executor] = [await loadTokenizer(dir), await loadModel(dir, { task }), await cpu()];
const data = pipe(
  jsonl(file),
  map((line) => {
    const { text, label } = line as Example;
    return { ids: tokenizer.encode(text), labels: Int32Array.of(labels.indexOf(label)) };
  }),
  shuffle({ seed: 0 }),
  repeat(),
  batch({ size: 8, multipleOf: 8, shapes: { labels: [] } }), // one label a row; shorter texts are filled up
);

const classifier = attach(base, [lora({ rank: 8, target: 'all-linear' })]);
await train(classifier, { executor, data, steps: 60, schedule: () => 5e-3, onStep: progressLine() });
await save(classifier, 'my-classifier', { executor }); // with its head

const { model } = await load(base, 'my-classifier');
for (const text of ['a fine book', 'a poor book']) {
  const ids = tokenizer.encode(text);
  const logits = model.outputs({ ids: constant(ids, [1, ids.length]) }); // [1, labels]
  const { best } = await evaluate({ best: argmax(logits, { axis: 1 }) }, { executor });
  console.log(`${text}: ${labels[best![0]!]}`);
}
await executor.close();
