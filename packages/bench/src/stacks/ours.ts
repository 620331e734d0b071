import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { load } from '@peftjs/core';
import { loadGguf } from '@peftjs/gguf';
import { openSafetensors } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { computeInt8, int8, nf4, quantize, quantizeByLlmInt8, quantizeEmbeddings } from '@peftjs/quant';
import {
  compile,
  type Executable,
  type Executor,
  input,
  matmul,
  mean,
  mul,
  type Plan,
  type Profile,
  type Program,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { adamw, allWeights, type Batch, makeTrainStep, type Trainable } from '@peftjs/trainer';
import { type CausalLM, generator, loadModel } from '@peftjs/transformer';
import { webgpu } from '@peftjs/webgpu';
import type { BatchFile } from '../data/batch.ts';
import type { GenerateTask, MatmulTask, StepTask } from '../tasks/task.ts';
import { variantOf } from './ours/variants.ts';
import type { OpenWorker, StackOptions, Worker } from './stack.ts';
import { installWebGpu } from './web-gpu.ts';

type Runs = Pick<Worker, 'run'>;

const openExecutor = async (stack: string, { threads, toggles }: StackOptions): Promise<Executor> => {
  if (stack.startsWith('ours-cpu')) return cpu({ threads, worker: stack === 'ours-cpu-worker' });
  installWebGpu(toggles, threads);
  return webgpu({ adapter: 'any' });
};

/** An executor with what it tells of its programs: their plans, and their profiles when `timed` is a list. */
interface Watched {
  readonly executor: Executor;
  readonly plans: Plan[];
  timed: Profile[] | null;
}

const watch = (executor: Executor): Watched => {
  const watched: Watched = {
    executor: { ...executor, compile: (program) => compileAndNote(program) },
    plans: [],
    timed: null,
  };
  const compileAndNote = async (program: Program): Promise<Executable> => {
    const executable = await executor.compile(program);
    watched.plans.push(executable.plan);
    const run: Executable['run'] = async (feeds, options) => {
      if (watched.timed && executable.profile) watched.timed.push(await executable.profile(feeds));
      return executable.run(feeds, options);
    };
    return { ...executable, run };
  };
  return watched;
};

const openMatmul = async (dir: string, task: MatmulTask, executor: Executor): Promise<Runs> => {
  const file = await openSafetensors(join(dir, 'operands.safetensors'));
  const operand = async (name: string): Promise<Variable> =>
    variable(name, file.tensors.get(name)!.shape, await file.readFloat32(name));
  const [a, b] = [await operand('a'), await operand('b')];
  await file.close();
  const y = matmul(a, b, { transposeA: task.transposeA, transposeB: task.transposeB });
  const executable = await compile({ outputs: { square: mean(mean(mul(y, y), { axes: [1] })) } }, { executor });
  return { run: async () => [(await executable.run())['square']![0]!] };
};

/** The side of the product that a device's limit is taken from, and how often it is tried. */
const limitSide = 1024;
const limitTrials = 3;

/** Operations a second of a large product, the most of some trials: what a device gives in this hour, not in its data sheet. */
const limitOf = async (executor: Executor): Promise<number> => {
  const side = [limitSide, limitSide];
  const [a, b] = ['a', 'b'].map((name) => input(name, side)) as [Tensor, Tensor];
  const executable = await compile({ outputs: { y: matmul(a, b) } }, { executor });
  const feeds = { a: new Float32Array(limitSide ** 2).fill(1), b: new Float32Array(limitSide ** 2).fill(1) };
  let most = 0;
  for (let trial = 0; trial < limitTrials; trial++)
    for (const { flopsPerSecond } of (await executable.profile!(feeds)).kernels) most = Math.max(most, flopsPerSecond);
  executable.close();
  return most;
};

const whole = int8({ compute: 'int8' });

/** A base whose layers and head multiply in int8. Of published weights inputs stand out, which the batch shows, and which are multiplied apart; their head is tied to the table of tokens, which is held in int8 too. */
const inInt8 = async (model: CausalLM, { weights, method }: StepTask, batch: Batch, executor: Executor) =>
  weights && method === 'lora'
    ? quantizeByLlmInt8(quantizeEmbeddings(model, whole), { executor, data: [batch] })
    : computeInt8(model, [...model.linears.keys()]);

/** Whether a stack multiplies in int8. */
const inWhole = (stack: string): boolean => stack.startsWith('ours-cpu-int8');

const baseOf = async (
  stack: string,
  model: CausalLM,
  task: StepTask,
  batch: Batch,
  executor: Executor,
): Promise<CausalLM> => {
  const isWhole = inWhole(stack);
  const layers = task.method === 'qlora' ? quantize(model, nf4(isWhole ? { compute: 'int8' } : undefined)) : model;
  return isWhole ? inInt8(layers, task, batch, executor) : layers;
};

const trainable = async (dir: string, base: CausalLM, { method, variant }: StepTask): Promise<Trainable> => {
  const target = method === 'full' ? allWeights(base) : await load(base, join(dir, 'adapter'), [lora]);
  return variant ? variantOf(target, variant) : target;
};

/** Of the blocks, those that the lean stack computes again: the last cost more time than memory. */
const leanShare = 0.9;

const openStep = async (stack: string, dir: string, task: StepTask, executor: Executor): Promise<Runs> => {
  const { batch, tokens, learningRate } = task;
  const { ids, labels } = JSON.parse(await readFile(join(dir, 'batch.json'), 'utf8')) as BatchFile;
  const shape = [batch, tokens];
  const fed: Batch = {
    rows: batch,
    columns: { ids: Int32Array.from(ids), labels: Int32Array.from(labels) },
    shapes: { ids: shape, labels: shape },
  };
  const target = await trainable(
    dir,
    await baseOf(
      stack,
      // Published weights that become int8 anyway are read in half the memory, as PyTorch's are in bfloat16.
      await loadModel(join(dir, 'model'), { dtype: task.inHalf || (inWhole(stack) && task.weights) ? 'f16' : 'f32' }),
      task,
      fed,
      executor,
    ),
    task,
  );
  const step = await makeTrainStep(target, {
    executor,
    optimizer: adamw(),
    recompute: stack === 'ours-cpu-int8-lean' && Math.round(leanShare * task.model.layers),
    inputs: { ids: { shape, dtype: 'i32' }, labels: { shape, dtype: 'i32' } },
  });
  let count = 0;
  const run = async (): Promise<number[]> => {
    await step.run(count++, learningRate, [fed]);
    return (await step.results()).map(({ loss }) => loss);
  };
  return { run };
};

const openGenerate = async (dir: string, task: GenerateTask, executor: Executor): Promise<Runs> => {
  const prompt = JSON.parse(await readFile(join(dir, 'prompt.json'), 'utf8')) as number[];
  const model = await (task.storage ? loadGguf(join(dir, 'model.gguf')) : loadModel(join(dir, 'model')));
  const made = generator(model, { executor });
  return { run: async () => (await made.generate([prompt], { maxTokens: task.tokens, stop: [] }))[0]! };
};

/** peftjs, as its users write it. Stacks: `ours-cpu`, `ours-cpu-worker`, `ours-cpu-int8`, `ours-cpu-int8-lean`, `ours-webgpu`. */
export const open: OpenWorker = async (stack, { task, dir }, options) => {
  const watched = watch(await openExecutor(stack, options));
  const { executor, plans } = watched;
  const idle = process.memoryUsage.rss();
  const { run } =
    task.kind === 'matmul'
      ? await openMatmul(dir, task, executor)
      : task.kind === 'step'
        ? await openStep(stack, dir, task, executor)
        : await openGenerate(dir, task, executor);
  return {
    device: executor.description,
    versions: {},
    run,
    memory: () => ({ idle, planned: Math.max(...plans.map((p) => p.peakBytes)), held: executor.memory().peak }),
    profile: async () => {
      watched.timed = [];
      await run();
      const profiles = watched.timed;
      watched.timed = null;
      return { profiles, limit: await limitOf(watched.executor) };
    },
    close: () => executor.close(),
  };
};
