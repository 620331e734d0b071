import {
  count,
  defineMethod,
  eachLinear,
  kaimingUniform,
  type MethodFactory,
  noWeight,
  number,
  oneOf,
  rate,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, gather, matmul, mul, PeftError, reshape } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { onlyTask, taskColumns, taskFault, tasksOf } from './task-column.ts';

/** Options of `mtLora`. */
export interface MtLoraOptions {
  /** Default: all linear layers but the output head. */
  readonly target?: Target;
  /** Rank of the update that tasks share. Default 8. */
  readonly rank?: number;
  /** Rank of the update of each task. Default 8. */
  readonly taskRank?: number;
  /** Factor of the shared update. Default 2. */
  readonly scale?: number;
  /** Factor of the tasks' updates. Default 2. */
  readonly taskScale?: number;
  /** The blocks where tasks have updates of their own: the last of each tower, or all. Default `last`. */
  readonly taskBlocks?: 'last' | 'all';
  /** Tasks that examples come from. Default 1. */
  readonly tasks?: number;
  /** Probability that an input of the updates is dropped while training. Default 0.05. */
  readonly dropout?: number;
}

/** Whether a layer has updates of tasks: of the chosen blocks, those that do not make queries, keys or values. */
const isTasks = (model: Model, taskBlocks: 'last' | 'all'): ((path: Path) => boolean) => {
  const shared = new Set(model.parts(['query', 'key', 'value']).map(({ path }) => path));
  const blocks = model.towers.flatMap((tower) => tower.paths('block').slice(taskBlocks === 'last' ? -1 : 0));
  return (path) => !shared.has(path) && blocks.some((block) => path.startsWith(`${block}.`));
};

const define = (only: number | null): MethodFactory<MtLoraOptions> =>
  defineMethod<MtLoraOptions>({
    name: 'mtLora',
    formula: {
      merges: false,
      options: {
        target: targets('target_modules', 'all-linear'),
        rank: count('r', 8),
        taskRank: count('r_per_task', 8),
        scale: number('shared_scale', 2),
        taskScale: number('task_scale', 2),
        taskBlocks: oneOf('task_blocks', ['last', 'all'], 'last'),
        tasks: count('task_num', 1),
        dropout: rate('dropout', 0.05),
      },
      check: ({ tasks = 1 }) => taskFault({ method: 'mtLora', tasks, only }),
      attach: (model, scope, { target, rank, taskRank, scale, taskScale, taskBlocks, tasks, dropout }) => {
        const tasked = { method: 'mtLora', tasks, only: onlyTask(only, tasks) };
        const isOfTasks = isTasks(model, taskBlocks);
        const patch = eachLinear(model, scope, target, 'mtLora', (base, own, path) => {
          const { inDim, outDim } = base;
          const a = own.param('lora_shared_A', [rank, inDim], kaimingUniform);
          const b = own.param('lora_shared_B', [outDim, rank], zeros);
          const special = isOfTasks(path) && {
            a: own.param('lora_tasks_A', [tasks, taskRank, inDim], kaimingUniform),
            b: own.param('lora_tasks_B', [tasks, outDim, taskRank], zeros),
          };
          return {
            ...base,
            apply: (x, call) => {
              const dropped = own.dropout(x, dropout);
              const low = mul(matmul(dropped, a, { transposeB: true }), scale); // [..., rank]
              const y = add(base.apply(x, call), matmul(low, b, { transposeB: true }));
              if (!special) return y;
              const task = tasksOf(call, tasked);
              // Rows of the batch, of as many tokens each.
              const wide = reshape(dropped, [task.shape[0]!, -1, inDim]);
              const inner = mul(matmul(wide, gather(special.a, task), { transposeB: true }), taskScale);
              return add(y, reshape(matmul(inner, gather(special.b, task), { transposeB: true }), y.shape));
            },
            dense: noWeight('mtLora', path, 'depends on the task of each example'),
          };
        });
        if (![...patch.linear!.keys()].some(isOfTasks))
          throw new PeftError(
            'bad-option',
            `mtLora: target: no layer of it would have an update of tasks; name one of ${taskBlocks === 'last' ? 'the last block' : 'a block'} that makes no queries, keys or values`,
          );
        return { ...patch, ...taskColumns(tasked) };
      },
    },
    files: { peftType: 'PEFTJS_MTLORA' },
    card: {
      about: 'a low-rank update that tasks share, and one of each task in the last block',
      paper: {
        authors: 'Agiza, Neseem & Reda',
        year: 2024,
        title: 'MTLoRA: A Low-Rank Adaptation Approach for Efficient Multi-Task Learning',
        url: 'https://arxiv.org/abs/2403.20320',
      },
      learningRate: 5e-4,
    },
  });

/**
 * MTLoRA: y = Wx + s·B·A·x̃ everywhere, x̃ = dropout(x), and y = Wx + s·B·A·x̃ + s_t·B[task]·A[task]·x̃ in the layers of the last block that make no queries, keys or values, or in those of all blocks. A [rank, in] and B [out, rank] are
 * shared; A [tasks, taskRank, in] and B [tasks, out, taskRank] are the tasks' own; every A is from U(−1/√in, 1/√in), every B zero at the start. Factors are not divided by ranks. Of more than one task each example says
 * its own in the column `task` (i32, from 0); `mtLoraFor(task)` is for one of them alone. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Agiza, Neseem & Reda, 2024. https://arxiv.org/abs/2403.20320. As the authors' code has it, https://github.com/scale-lab/MTLoRA, in its mode `matrixv2`: there every image has all tasks, each
 * a stream of its own after the last block of a stage; here an example has one task, whose stream is the only one, so the shared update is part of it.
 */
export const mtLora: MethodFactory<MtLoraOptions> = define(null);

/** `mtLora` for inputs of one task, which need no column `task`: to generate with an adapter of several, `load(model, dir, [mtLoraFor(2)])`. */
export const mtLoraFor = (task: number): MethodFactory<MtLoraOptions> => define(task);
