import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  normal,
  noWeight,
  number,
  rate,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, gather, matmul, mul, reshape, softmax } from '@peftjs/tensor';
import { onlyTask, taskColumns, taskFault, tasksOf } from './task-column.ts';

/** Options of `moeLora`. */
export interface MoeLoraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of all experts together; their number divides it. Default 16. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 32. */
  readonly alpha?: number;
  /** Experts, each a LoRA of rank / experts. Default 8. */
  readonly experts?: number;
  /** Tasks that examples come from. Default 1. */
  readonly tasks?: number;
  /** Size of a task's embedding. Default 64. */
  readonly taskDim?: number;
  /** Probability that an input of the experts is dropped while training. Default 0.1. */
  readonly dropout?: number;
}

const define = (only: number | null): MethodFactory<MoeLoraOptions> =>
  defineMethod<MoeLoraOptions>({
    name: 'moeLora',
    formula: {
      merges: false,
      options: {
        target: targets('target_modules', familyTarget('lora')),
        rank: count('r', 16),
        alpha: number('lora_alpha', 32),
        experts: count('expert_num', 8),
        tasks: count('task_num', 1),
        taskDim: count('task_embedding_dim', 64),
        dropout: rate('lora_dropout', 0.1),
      },
      check: ({ tasks = 1, rank = 16, experts = 8 }) =>
        rank % experts === 0
          ? taskFault({ method: 'moeLora', tasks, only })
          : `experts ${experts} do not divide rank ${rank}`,
      attach: (model, scope, { target, rank, alpha, experts, tasks, taskDim, dropout }) => {
        const tasked = { method: 'moeLora', tasks, only: onlyTask(only, tasks) };
        const patch = eachLinear(model, scope, target, 'moeLora', (base, own, path) => {
          const a = own.param('lora_A', [rank, base.inDim], normal(0.01));
          const b = own.param('lora_B', [base.outDim, rank], zeros);
          const embedding = own.param('lora_task_embedding', [tasks, taskDim], normal(1));
          const gate = own.param('lora_gate', [experts, taskDim], kaimingUniform);
          return {
            ...base,
            apply: (x, call) => {
              const weights = softmax(matmul(gather(embedding, tasksOf(call, tasked)), gate, { transposeB: true }));
              const rows = weights.shape[0]!;
              const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank]
              // Rows of the batch, of as many tokens each.
              const each = reshape(low, [rows, -1, experts, rank / experts]);
              const weighed = mul(each, mul(reshape(weights, [rows, 1, experts, 1]), alpha / rank));
              return add(base.apply(x, call), matmul(reshape(weighed, low.shape), b, { transposeB: true }));
            },
            dense: noWeight('moeLora', path, 'depends on the task of each example'),
          };
        });
        return { ...patch, ...taskColumns(tasked) };
      },
    },
    files: { peftType: 'PEFTJS_MOELORA' },
    card: {
      about: 'experts that tasks share, each a LoRA',
      paper: {
        authors: 'Liu et al.',
        year: 2023,
        title: 'When MOE Meets LLMs: Parameter Efficient Fine-tuning for Multi-task Medical Applications',
        url: 'https://arxiv.org/abs/2310.18339',
      },
      learningRate: 2e-4,
    },
  });

/**
 * MOELoRA: y = Wx + (alpha/r)·Σₑ ωₑ·Bₑ·Aₑ·dropout(x), experts of rank r / experts, weighed by the task of the example: ω = softmax(G·E[task]), E [tasks, taskDim] and G [experts, taskDim] of each layer. A [rank, in] and
 * B [out, rank] hold the experts one after the other: A is from N(0, 0.01²), B zero at the start, E from N(0, 1), G from U(−1/√taskDim, 1/√taskDim). Of more than one task each example says its own in the column
 * `task` (i32, from 0); `moeLoraFor(task)` is for one of them alone. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Liu et al., 2023. https://arxiv.org/abs/2310.18339. As the authors' code has it, https://github.com/liuqidong07/MOELoRA-peft
 */
export const moeLora: MethodFactory<MoeLoraOptions> = define(null);

/** `moeLora` for inputs of one task, which need no column `task`: to generate with an adapter of several, `load(model, dir, [moeLoraFor(2)])`. */
export const moeLoraFor = (task: number): MethodFactory<MoeLoraOptions> => define(task);
