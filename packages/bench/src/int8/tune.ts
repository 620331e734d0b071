import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { grad } from '@peftjs/autograd';
import { type Adapted, attach, save } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { concatAll, constant, evaluate, reshape } from '@peftjs/tensor';
import { adamw, type Batch, makeBatch } from '@peftjs/trainer';
import { type CausalLM, meanOf } from '@peftjs/transformer';
import { paths } from '../paths.ts';
import { type Ground, openGround } from '../quantized/ground.ts';
import { type Form, forms, settings, torchForm } from './runs.ts';

/** The outcome of a run: losses in nats a token of held-out text. */
export interface Tuned {
  readonly learningRate: number;
  /** Of the base. */
  readonly before: number;
  readonly after: number;
  readonly seconds: number;
}

/** A view of a base with the adapter that all runs train. */
const adaptedOf = (base: CausalLM, seed: number): Adapted =>
  attach(base, [lora({ rank: settings.rank, alpha: settings.rank, target: 'all-linear' })], { seed });

/** Token ids and labels of the rows whose gradient is compared. */
const measuredRows = ({ held: { rows, context } }: Ground): Batch =>
  makeBatch(rows.slice(0, settings.measured), settings.measured, context);

/** The gradient of all trained values, one after another. */
const gradientOf = async (ground: Ground, adapted: Adapted): Promise<Float32Array> => {
  const { columns, shapes } = measuredRows(ground);
  const [ids, labels] = (['ids', 'labels'] as const).map((name) => constant(columns[name]!, shapes[name]!));
  const loss = meanOf(adapted.model.loss({ ids: ids!, labels: labels! }));
  const gradients = grad(loss, [...adapted.params.values()]).map((g) => reshape(g, [-1]));
  const { all } = await evaluate({ all: concatAll(gradients, 0) }, { executor: ground.executor });
  return all as Float32Array;
};

/** Cosine of two vectors. */
const cosineOf = (a: Float32Array, b: Float32Array): number => {
  let [dot, aa, bb] = [0, 0, 0];
  for (const [i, v] of a.entries()) {
    dot += v * b[i]!;
    aa += v * v;
    bb += b[i]! * b[i]!;
  }
  return dot / Math.sqrt(aa * bb);
};

/** Trains LoRA over a form of the model of a folder. */
export const tune = async (dir: string, form: Form, seed: number, threads: number): Promise<Tuned> => {
  const started = performance.now();
  const ground = await openGround(dir, 'f32', settings, threads);
  const adapted = adaptedOf(await form.make(ground), seed);
  const before = await ground.lossOf(adapted.model);
  await ground.train(adapted, adamw(), { seed });
  const after = await ground.lossOf(adapted.model);
  await ground.executor.close();
  const seconds = Math.round((performance.now() - started) / 1000);
  return { learningRate: ground.learningRate, before, after, seconds };
};

/** Cosines of an adapter's first gradient over forms of a model with that over the form that each is held against, by its name; and PyTorch's in bfloat16 with its own in f32, where there is a Python that has it. */
export const compareGradients = async (
  dir: string,
  compared: readonly Form[],
  threads: number,
  python: string | null,
): Promise<Readonly<Record<string, number>>> => {
  const ground = await openGround(dir, 'f32', settings, threads);
  const known = new Map<string, Float32Array>();
  const of = async (form: Form): Promise<Float32Array> => {
    const gradient = known.get(form.name) ?? (await gradientOf(ground, adaptedOf(await form.make(ground), 0)));
    known.set(form.name, gradient);
    return gradient;
  };
  const cosines: Record<string, number> = {};
  for (const form of compared) {
    const plain = forms.find(({ name }) => name === form.against)!;
    cosines[form.name] = cosineOf(await of(plain), await of(form));
  }
  if (python) cosines[torchForm] = await torchCosine(python, dir, ground, threads);
  await ground.executor.close();
  return cosines;
};

/** PyTorch computes the same gradient: of the same adapter, on the same rows. */
const torchCosine = async (python: string, dir: string, ground: Ground, threads: number): Promise<number> => {
  const folder = await mkdtemp(join(tmpdir(), 'peftjs-int8-'));
  try {
    await save(adaptedOf(ground.model, 0), join(folder, 'adapter'), { executor: ground.executor });
    const { columns, shapes } = measuredRows(ground);
    const batch = { shape: shapes['ids'], ids: [...columns['ids']!], labels: [...columns['labels']!] };
    await writeFile(join(folder, 'batch.json'), JSON.stringify(batch));
    const { stdout } = await promisify(execFile)(
      python,
      [
        join(paths.source, 'int8/pytorch.py'),
        dir,
        ...[join(folder, 'adapter'), join(folder, 'batch.json'), String(threads)],
      ],
      { env: { ...process.env, OMP_NUM_THREADS: String(threads), HF_HUB_OFFLINE: '1' } },
    );
    return (JSON.parse(stdout.trim().split('\n').at(-1)!) as { readonly cosine: number }).cosine;
  } finally {
    await rm(folder, { recursive: true });
  }
};
