import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  noWeight,
  number,
  ones,
  positive,
  rate,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, gather, matmul, mul, reshape, softmax, type Tensor } from '@peftjs/tensor';
import { onlyTask, taskColumns, taskFault, tasksOf } from './task-column.ts';

/** Options of `mtlLora`. */
export interface MtlLoraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 8. */
  readonly alpha?: number;
  /** Matrices B that tasks share. Default 3. */
  readonly ups?: number;
  /** Temperature τ of the shares that a task has of them. Default 0.05. */
  readonly sharpness?: number;
  /** Tasks that examples come from. Default 1. */
  readonly tasks?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
}

const define = (only: number | null): MethodFactory<MtlLoraOptions> =>
  defineMethod<MtlLoraOptions>({
    name: 'mtlLora',
    formula: {
      merges: false,
      options: {
        target: targets('target_modules', familyTarget('lora')),
        rank: count('r', 8),
        alpha: number('alpha', 8),
        ups: count('n_up_projection', 3),
        sharpness: positive('weights_sharpness', 0.05),
        tasks: count('task_num', 1),
        dropout: rate('dropout', 0),
      },
      check: ({ tasks = 1 }) => taskFault({ method: 'mtlLora', tasks, only }),
      attach: (model, scope, { target, rank, alpha, ups, sharpness, tasks, dropout }) => {
        const tasked = { method: 'mtlLora', tasks, only: onlyTask(only, tasks) };
        const patch = eachLinear(model, scope, target, 'mtlLora', (base, own, path) => {
          const a = own.param('lora_A', [rank, base.inDim], kaimingUniform);
          const b = own.param('lora_B', [base.outDim, ups * rank], zeros);
          const values = own.param('task_specific', [tasks, rank], ones);
          const weights = own.param('weights', [tasks, ups], ones);
          return {
            ...base,
            apply: (x, call) => {
              const task = tasksOf(call, tasked);
              const rows = task.shape[0]!;
              const shares = softmax(mul(gather(weights, task), 1 / sharpness));
              const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank]
              const around = low.shape.slice(0, -1);
              // Rows of the batch, of as many tokens each: every share times Λ·A·x, one after the other.
              const ofTask = (t: Tensor, ...shape: readonly number[]): Tensor => reshape(t, [rows, 1, ...shape]);
              const scaled = mul(reshape(low, [rows, -1, 1, rank]), ofTask(gather(values, task), 1, rank));
              const each = mul(scaled, ofTask(mul(shares, alpha / rank), ups, 1));
              const delta = matmul(reshape(each, [...around, ups * rank]), b, { transposeB: true });
              return add(base.apply(x, call), delta);
            },
            dense: noWeight('mtlLora', path, 'depends on the task of each example'),
          };
        });
        return { ...patch, ...taskColumns(tasked) };
      },
    },
    files: { peftType: 'PEFTJS_MTL_LORA' },
    card: {
      about: 'one low-rank update with values and shares of each task',
      paper: {
        authors: 'Yang et al.',
        year: 2024,
        title: 'MTL-LoRA: Low-Rank Adaptation for Multi-Task Learning',
        url: 'https://arxiv.org/abs/2410.09437',
      },
      learningRate: 2e-4,
    },
  });

/**
 * MTL-LoRA: y = Wx + (alpha/r)·Σᵢ ωᵢ·Bᵢ·Λ·A·dropout(x) with ω = softmax(w/τ), where A [rank, in] and all of B [out, ups·rank], side by side, serve all tasks, and a task has Λ, a diagonal of `rank` values, and w [ups] of its
 * own. A is from U(−1/√in, 1/√in), B zero at the start, Λ and w ones. Of more than one task each example says its own in the column `task` (i32, from 0); `mtlLoraFor(task)` is for one of them alone. Does not merge.
 * Throws `bad-option`, and when attached `no-match`.
 * Yang et al., 2024. https://arxiv.org/abs/2410.09437. As the adapters library computes it, with singular values, for several tasks at once; its files, of a task each, are read by `adapterHubMtlLora`.
 */
export const mtlLora: MethodFactory<MtlLoraOptions> = define(null);

/** `mtlLora` for inputs of one task, which need no column `task`: to generate with an adapter of several, `load(model, dir, [mtlLoraFor(2)])`. */
export const mtlLoraFor = (task: number): MethodFactory<MtlLoraOptions> => define(task);
