import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { attach, load, save } from '@peftjs/core';
import { loadTokenizer, type Tokenizer, writeFileAtomic } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { type Executor, PeftError, sizeOf } from '@peftjs/tensor';
import { adamw, allWeights, cosine, evaluateLoss, progressLine, type Trainable, type TrainResult, train } from '@peftjs/trainer';
import { type CausalLM, generate, loadModel, parameters } from '@peftjs/transformer';
import { openDevice } from './device.ts';
import type { DemoOptions } from './options.ts';
import { inNewFolder, runFolder } from './output.ts';
import { renderReport } from './report/report.ts';
import { type DemoText, loadText } from './text.ts';

/** What `--json` prints. Losses in nats per token over the whole held-out text; sizes in bytes. */
export interface DemoResult {
  readonly device: string;
  readonly baseLoss: number;
  readonly tunedLoss: number;
  /** After training all weights for as many steps; null without `--full`. */
  readonly fullLoss: number | null;
  /** Parameters that the adapter trains, and those of the base. */
  readonly trainable: number;
  readonly total: number;
  readonly tokensPerSecond: number;
  /** Largest resident memory of the process. */
  readonly peakBytes: number;
  readonly seconds: number;
  readonly adapterBytes: number;
  readonly adapterDir: string;
  readonly report: string;
}

/** Rows of a batch. */
const batchSize = 8;
/** The highest learning rates: each was the best of a search over halves and doubles at the default number of steps. */
const learningRates = { lora: 4e-3, full: 1e-3 };

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(2)} %`;
const count = (n: number): string => n.toLocaleString('en-US');

interface Loaded {
  readonly dir: string;
  /** What an adapter says it belongs to. */
  readonly name: string;
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  readonly text: DemoText;
  readonly endOfText: number;
}

const loadAll = async ({ model: modelDir, data }: DemoOptions): Promise<Loaded> => {
  const dir = modelDir ?? baseModelDir();
  const model = await loadModel(dir);
  const tokenizer = await loadTokenizer(dir);
  const endOfText = tokenizer.eosId ?? model.config.eosIds[0];
  if (endOfText === undefined) throw new PeftError('bad-config', `${dir}: neither the tokenizer nor the config names an end-of-text token`);
  const context = Math.min(256, model.config.maxPositions);
  return { dir, name: modelDir ?? '@peftjs/base-model', model, tokenizer, text: loadText(data, tokenizer, context, endOfText), endOfText };
};

const trainWith = (target: Trainable, { text }: Loaded, executor: Executor, { steps, seed }: DemoOptions, kind: 'lora' | 'full'): Promise<TrainResult> =>
  train(target, {
    executor,
    data: text.train,
    steps,
    batchSize,
    seed,
    schedule: cosine({ learningRate: learningRates[kind], steps, warmup: Math.floor(steps / 15) }),
    optimizer: adamw(),
    heldOut: { data: text.heldOut, every: Math.max(1, Math.ceil(steps / 3)) },
    onStep: progressLine({ label: kind === 'lora' ? 'LoRA' : 'all weights' }),
  });

/** The opening of the held-out text, which both models continue: its words, and its tokens after an end of text. */
const promptOf = ({ text, tokenizer, endOfText }: Loaded): { readonly words: string; readonly ids: Int32Array } => {
  const opening = tokenizer.decode(text.heldOut.rows[0]!.subarray(0, 48), { skipSpecial: true });
  const words = opening.split(' ').slice(0, 14).join(' ');
  return { words, ids: Int32Array.of(endOfText, ...tokenizer.encode(words, { special: false })) };
};

const sampleOf = async (model: CausalLM, { tokenizer }: Loaded, prompt: Int32Array, executor: Executor, seed: number): Promise<string> =>
  tokenizer.decode(await generate(model, { executor, prompt, maxTokens: 96, temperature: 0.7, topK: 40, seed }));

/** Saves, loads it into a base of its own, and measures again: the loss must be the same to the bit. */
const saveAndCheck = async (adapted: Parameters<typeof save>[0], loaded: Loaded, executor: Executor, dir: string, tunedLoss: number): Promise<void> => {
  await save(adapted, dir, executor, { baseModel: loaded.name });
  const again = await load(loaded.model, dir, [lora]);
  const { loss } = await evaluateLoss(again.model, loaded.text.heldOut, executor, batchSize);
  if (loss !== tunedLoss) throw new PeftError('bad-adapter', `${dir}: loaded again the adapter gives loss ${loss}, trained it gave ${tunedLoss}`);
  executor.release(again.state.values());
};

const fullComparison = async (loaded: Loaded, executor: Executor, options: DemoOptions): Promise<TrainResult> => {
  const copy = await loadModel(loaded.dir);
  try {
    return await trainWith(allWeights(copy), loaded, executor, options, 'full');
  } finally {
    executor.release(parameters(copy).values());
  }
};

const lastLoss = (result: TrainResult): number => result.heldOut.at(-1)!.loss;

/**
 * The whole way: load the base, measure, attach LoRA, train, measure, sample, save, load again, report. Throws `PeftError` for what the
 * user can mend; then nothing is left in the output folder.
 */
export const runDemo = async (options: DemoOptions): Promise<DemoResult> => {
  const started = performance.now();
  const loaded = await loadAll(options);
  const executor = await openDevice(options.device);
  const dir = resolve(runFolder(options.out));
  try {
    return await inNewFolder(dir, () => runOn(executor, loaded, options, dir, started));
  } finally {
    await executor.close();
  }
};

const runOn = async (executor: Executor, loaded: Loaded, options: DemoOptions, dir: string, started: number): Promise<DemoResult> => {
  const { model, text } = loaded;
  const adapted = attach(model, [lora({ rank: options.rank, alpha: options.rank, target: 'all-linear' })], { seed: options.seed });
  const sizes = (tensors: Iterable<{ readonly shape: readonly number[] }>): number => [...tensors].reduce((n, t) => n + sizeOf(t.shape), 0);
  const trainable = sizes(adapted.params.values());
  const total = sizes(parameters(model).values());
  say(`Base model: ${count(total)} parameters. LoRA of rank ${options.rank}: ${count(trainable)}, ${percent(trainable, total)}.`);
  say(`Text: ${text.name}, ${count(text.train.rows.length * text.train.context)} tokens to learn from. Device: ${executor.description}.`);

  const prompt = promptOf(loaded);
  const before = await sampleOf(model, loaded, prompt.ids, executor, options.seed);
  const result = await trainWith(adapted, loaded, executor, options, 'lora');
  const after = await sampleOf(adapted.model, loaded, prompt.ids, executor, options.seed);
  const [baseLoss, tunedLoss] = [result.heldOut[0]!.loss, lastLoss(result)];

  const adapterDir = join(dir, 'adapter');
  await saveAndCheck(adapted, loaded, executor, adapterDir, tunedLoss);
  const full = options.full ? await fullComparison(loaded, executor, options) : null;
  const fullLoss = full && lastLoss(full);
  const adapterBytes = (await stat(join(adapterDir, 'adapter_model.safetensors'))).size;
  const peakBytes = process.resourceUsage().maxRSS * 1024;

  const reportFile = join(dir, 'report.html');
  await writeFileAtomic(
    reportFile,
    renderReport({
      title: `LoRA on ${text.name}`,
      summary: `A base model of ${count(total)} parameters, ${options.steps} steps of ${batchSize} × ${text.train.context} tokens, rank ${options.rank}, seed ${options.seed}, on ${executor.description}.`,
      figures: [
        { name: 'Held-out loss, base', value: baseLoss.toFixed(3), note: 'nats per token' },
        { name: 'Held-out loss, tuned', value: tunedLoss.toFixed(3), note: `${(baseLoss - tunedLoss).toFixed(3)} lower` },
        ...(fullLoss === null ? [] : [{ name: 'All weights tuned', value: fullLoss.toFixed(3), note: `LoRA recovers ${percent(baseLoss - tunedLoss, baseLoss - fullLoss)}` }]),
        { name: 'Trained', value: count(trainable), note: `${percent(trainable, total)} of the base` },
        { name: 'Adapter file', value: `${(adapterBytes / 1024).toFixed(0)} KiB` },
        { name: 'Speed', value: `${count(Math.round(result.tokensPerSecond))}`, note: 'tokens per second' },
        { name: 'Peak memory', value: `${(peakBytes / 2 ** 20).toFixed(0)} MiB` },
      ],
      curves: [{ label: 'LoRA', result }, ...(full ? [{ label: 'all weights', result: full }] : [])],
      prompt: prompt.words,
      samples: [
        { name: 'before', text: before },
        { name: 'after', text: after },
      ],
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  const quote = (name: string, sample: string): string => `\n${name}\n  ${prompt.words}\u2502${sample}`.replaceAll('\n', '\n  ');
  process.stdout.write(
    [
      quote('Before:', before),
      quote('After:', after),
      `\nHeld-out loss: ${baseLoss.toFixed(4)} -> ${tunedLoss.toFixed(4)} nats per token${fullLoss === null ? '' : `; all weights: ${fullLoss.toFixed(4)}`}`,
      `Adapter: ${adapterDir} (loaded again, same loss to the bit)`,
      `Report:  ${reportFile}`,
      `${seconds.toFixed(0)} s in all.`,
    ].join('\n') + '\n',
  );
  return { device: executor.name, baseLoss, tunedLoss, fullLoss, trainable, total, tokensPerSecond: result.tokensPerSecond, peakBytes, seconds, adapterBytes, adapterDir, report: reportFile };
};
