import { count, defineMethod, type Init, type MethodFactory, normal, type Option, type State } from '@peftjs/core';
import {
  initOf,
  isTextInit,
  promptComputes,
  promptConfig,
  type RowInit,
  rowsInFront,
  submodulesOption,
} from '@peftjs/prompts';
import { constant, gather, matmul, mul, PeftError, type Shape } from '@peftjs/tensor';
import { onlyTask, taskColumns, taskFault, tasksOf } from './task-column.ts';

/** A prompt that was trained on other tasks, where a new one begins. */
export interface SourcePrompt {
  /** The trained adapter: `await snapshot(adapted, { executor })`. */
  readonly source: { readonly state: State };
  /**
   * The factors that every task begins with: `average`, the means of those of the source's tasks; a number, those of that task; `none`, drawn
   * anew, so that the shared rows alone are taken over.
   */
  readonly factors: 'average' | 'none' | number;
}

/** Options of `multitaskPromptTuning`. */
export interface MultitaskPromptTuningOptions {
  /** Virtual tokens m. Default 20; the paper has 100. */
  readonly length?: number;
  /** Rank r of each task's factors. Default 1. */
  readonly rank?: number;
  /** Tasks that examples come from. Default 1. */
  readonly tasks?: number;
  /** First values of the shared rows: `random` (default), N(0, 1); `vocabulary` or `{ text: ids }`, see `promptTuning`; or a prompt trained on other tasks. */
  readonly init?: RowInit | SourcePrompt;
  /** Towers that there are rows for, of which the first alone reads its: 2 in files of Hugging Face PEFT for encoder-decoders. Default 1. */
  readonly submodules?: number;
}

/** The names of the three tensors: the rows, and the factors. */
const [shared, columns, rows] = ['prompt_embeddings', 'prefix_task_cols', 'prefix_task_rows'];

const isSource = (v: unknown): v is SourcePrompt => {
  const { source, factors } = (v ?? {}) as Partial<SourcePrompt>;
  return (
    source?.state instanceof Map &&
    (factors === 'average' || factors === 'none' || (Number.isSafeInteger(factors) && (factors as number) >= 0))
  );
};

const initOption: Option<RowInit | SourcePrompt> = {
  key: 'prompt_tuning_init',
  fallback: () => 'random',
  expected:
    "'random', 'vocabulary', { text: token ids } or { source: a snapshot, factors: 'average', 'none' or a task }",
  accepts: (v) => v === 'random' || v === 'vocabulary' || isTextInit(v) || isSource(v),
  // For the others Hugging Face PEFT asks for a tokenizer or for the source again, even to load values that are there.
  toJson: (init) => (init === 'vocabulary' ? 'SAMPLE_VOCAB' : 'RANDOM'),
  fromJson: (init) => (init === 'SAMPLE_VOCAB' ? 'vocabulary' : 'random'),
};

/** A tensor of the source, of as many tasks as it has: its values, and how many there are of each. */
const ofSource = ({ source }: SourcePrompt, name: string, shape: Shape, byTask: boolean): readonly Float32Array[] => {
  const found = source.state.get(name);
  const own = byTask ? found?.shape.slice(1) : found?.shape;
  if (!found || own?.join() !== shape.join())
    throw new PeftError(
      'bad-option',
      `multitaskPromptTuning: init.source: ${name} must be [${byTask ? 'tasks, ' : ''}${shape.join(', ')}] as here, got ${found ? `[${found.shape.join(', ')}]` : 'none'}; give an adapter of multitaskPromptTuning of the same length and rank`,
    );
  const data = Float32Array.from(found.data);
  const size = data.length / (byTask ? found.shape[0]! : 1);
  return Array.from({ length: data.length / size }, (_, i) => data.subarray(i * size, (i + 1) * size));
};

/** The first values of a factor [tasks, ...shape]: the same for all tasks where they come from a source. */
const factorOf = (init: RowInit | SourcePrompt, name: string, tasks: number, shape: Shape): Init => {
  if (!isSource(init) || init.factors === 'none') return normal(0.02);
  const known = ofSource(init, name, shape, true);
  const { factors } = init;
  if (factors !== 'average' && factors >= known.length)
    throw new PeftError(
      'bad-option',
      `multitaskPromptTuning: init.factors: the source has tasks 0 to ${known.length - 1}, got ${factors}`,
    );
  const chosen = factors === 'average' ? known : [known[factors]!];
  const mean = chosen[0]!.map((_, i) => chosen.reduce((n, values) => n + values[i]!, 0) / chosen.length);
  return () => Float32Array.from({ length: tasks * mean.length }, (_, i) => mean[i % mean.length]!);
};

const define = (only: number | null): MethodFactory<MultitaskPromptTuningOptions> =>
  defineMethod<MultitaskPromptTuningOptions>({
    name: 'multitaskPromptTuning',
    formula: {
      merges: false,
      options: {
        length: count('num_virtual_tokens', 20),
        rank: count('num_ranks', 1),
        tasks: count('num_tasks', 1),
        init: initOption,
        submodules: submodulesOption,
      },
      check: ({ tasks = 1 }) => taskFault({ method: 'multitaskPromptTuning', tasks, only }),
      attach: (model, scope, { length, rank, tasks, init, submodules }) => {
        const tasked = { method: 'multitaskPromptTuning', tasks, only: onlyTask(only, tasks) };
        const all = length * submodules;
        const patch = rowsInFront(model, { length, submodules }, ({ dim, weight }) => {
          const first: Init = isSource(init)
            ? constant(ofSource(init, shared, [all, dim], false)[0]!, [all, dim])
            : initOf(init, model, all, (ids) => gather(weight, constant(ids, [all])));
          const p = scope.param(shared, [all, dim], first);
          const u = scope.param(columns, [tasks, all, rank], factorOf(init, columns, tasks, [all, rank]));
          const v = scope.param(rows, [tasks, rank, dim], factorOf(init, rows, tasks, [rank, dim]));
          return (_, call) => {
            const task = tasksOf(call, tasked);
            return mul(p, matmul(gather(u, task), gather(v, task)));
          };
        });
        return { ...patch, ...taskColumns(tasked) };
      },
    },
    files: {
      peftType: 'MULTITASK_PROMPT_TUNING',
      computes: promptComputes,
      config: (model) => promptConfig(model, model.main.hiddenSize, model.main.heads),
      keys: { [shared]: shared, [columns]: columns, [rows]: rows },
    },
    card: {
      about: 'shared rows in front of the embeddings, times low-rank factors of each task',
      paper: {
        authors: 'Wang et al.',
        year: 2023,
        title: 'Multitask Prompt Tuning Enables Parameter-Efficient Transfer Learning',
        url: 'https://arxiv.org/abs/2303.02861',
      },
      learningRate: 0.1,
    },
  });

/**
 * MPT: [P ⊙ (Uₜ·Vₜ); E(x)], m trained rows before the embedded tokens of an example of task t: rows P [m, d] that the tasks share, from N(0, 1), times the task's own factors
 * U [tasks, m, r] and V [tasks, r, d], from N(0, 0.02²). Of more than one task each example says its own in the column `task` (i32, from 0);
 * `multitaskPromptTuningFor(task)` is for one of them alone. A further task begins with what others have learned: `init: { source, factors }`. The paper's first stage also learns from
 * prompts trained one by one: `distillation` of core, with their view as the teacher.
 * Files are Hugging Face PEFT's, whose names of first values TEXT, AVERAGE_SOURCE_TASKS, EXACT_SOURCE_TASK and ONLY_SOURCE_SHARED are those of `init`; a file has the values themselves.
 * Does not merge. Throws `bad-option`, also when attached, for a source of other sizes.
 * Wang, Panda, Karlinsky, Feris, Sun & Kim, 2023. https://arxiv.org/abs/2303.02861 By huggingface/peft, tuners/multitask_prompt_tuning.
 */
export const multitaskPromptTuning: MethodFactory<MultitaskPromptTuningOptions> = define(null);

/** `multitaskPromptTuning` for inputs of one task, which need no column `task`: to generate with an adapter of several, `load(model, dir, [multitaskPromptTuningFor(2)])`. */
export const multitaskPromptTuningFor = (task: number): MethodFactory<MultitaskPromptTuningOptions> => define(task);
