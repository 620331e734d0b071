// Fine-tunes a language model on a text of yours: npx tsx main.ts my-text.txt [folder of a model in Hugging Face layout]
import { readFile } from 'node:fs/promises';
import { baseModelDir } from '@peftjs/base-model';
import {
  attach,
  cosine,
  cpu,
  generate,
  loadModel,
  loadTokenizer,
  lora,
  packTokens,
  progressLine,
  save,
  train,
} from 'peftjs';

const [file = 'my-text.txt', dir = baseModelDir()] = process.argv.slice(2);
const [tokenizer, model, executor] = [await loadTokenizer(dir), await loadModel(dir), await cpu()];

// Rows of 64 tokens; the last tenth is held out, to see whether more is learnt than this text.
const { context, rows } = packTokens([tokenizer.encode(await readFile(file, 'utf8'))], {
  context: 64,
  endOfText: tokenizer.eosId ?? 0,
});
const cut = Math.floor(rows.length * 0.9);
const [data, heldOut] = [rows.slice(0, cut), rows.slice(cut)].map((part) => ({ context, rows: part }));

const adapted = attach(model, [lora({ rank: 8, target: 'all-linear' })]);
const { heldOut: measured } = await train(adapted, {
  executor,
  data: data!,
  steps: 30,
  batchSize: 4,
  schedule: cosine({ learningRate: 4e-3, steps: 30 }), // a small model takes a high rate; the default is the method's own
  heldOut: { data: heldOut!, every: 10 },
  checkpoint: { file: 'run.safetensors', every: 10 }, // after an interruption the same command goes on from it
  stopOn: ['SIGINT', 'SIGTERM'],
  onStep: progressLine(),
});
console.log(`held-out loss ${measured[0]!.loss.toFixed(3)} -> ${measured.at(-1)!.loss.toFixed(3)}`);

const prompt = tokenizer.encode('It was', { special: false });
const said = await generate(adapted.model, { executor, prompt, maxTokens: 24, temperature: 0.7, seed: 0 });
console.log(`It was${tokenizer.decode(said)}`);
await save(adapted, 'my-adapter', { executor }); // Hugging Face PEFT reads it too
await executor.close();
