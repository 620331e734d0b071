import { count, defineMethod, type MethodFactory, penalty, positive } from '@peftjs/core';
import { promptSpace, rowsInFront } from '@peftjs/prompts';
import { add, mean, mul, PeftError, reshape, sub, type Tensor } from '@peftjs/tensor';
import { slot } from '@peftjs/transformer';
import { promptsOf, type Sources, shapeOf, sourceRows, sourcesOption } from './source-prompts.ts';
import { onlyTask, taskColumns, taskFault, tasksOf } from './task-column.ts';

/** Options of `iptSpace`. */
export interface IptSpaceOptions {
  /** Prompts that were trained on as many tasks, of the same length: `[await snapshot(adapted, { executor }), …]`. They are frozen, and saved with the adapter. */
  readonly sources: Sources;
  /** Numbers r that stand for a prompt. Default 10; the paper has 5 to 250. */
  readonly dimension?: number;
  /** Width h of the decoder's inner layer. Default 768. */
  readonly inner?: number;
  /** α, the weight of how far a decoded prompt is from its own. Default 200. */
  readonly reconstruction?: number;
}

const define = (only: number | null): MethodFactory<IptSpaceOptions> =>
  defineMethod<IptSpaceOptions>({
    name: 'iptSpace',
    formula: {
      merges: false,
      options: {
        sources: sourcesOption('iptSpace'),
        dimension: count('intrinsic_dim', 10),
        inner: count('inner_dim', 768),
        reconstruction: positive('alpha_AE', 200),
      },
      check: ({ sources }) =>
        sources ? taskFault({ method: 'iptSpace', tasks: shapeOf('iptSpace', sources)[0], only }) : null,
      attach: (model, scope, { sources, dimension, inner, reconstruction }) => {
        const [tasks, length, width] = shapeOf('iptSpace', sources);
        const tasked = { method: 'iptSpace', tasks, only: onlyTask(only, tasks) };
        const apart = slot<Tensor>('iptSpace');
        const patch = rowsInFront(model, { length }, ({ dim }) => {
          if (dim !== width)
            throw new PeftError(
              'bad-option',
              `iptSpace: sources have rows of ${width} values, and the model's tokens have ${dim}; give prompts of this model`,
            );
          const known = sourceRows('iptSpace', scope, sources);
          const { encode, decode } = promptSpace(scope.param, { size: length * dim, dimension, inner });
          return (_, call) => {
            const own = promptsOf(known, tasksOf(call, tasked));
            const rows = decode(encode(own));
            const off = sub(rows, own);
            call.pass.put(apart, mean(mul(off, off)));
            return reshape(rows, [-1, length, dim]);
          };
        });
        const term = penalty(({ passes }) => {
          const found = passes.flatMap((pass) => pass.get(apart) ?? []);
          return mul(
            found.reduce((a, b) => add(a, b)),
            reconstruction / found.length,
          );
        });
        return { ...patch, ...taskColumns(tasked), objective: term };
      },
    },
    files: { peftType: 'PEFTJS_IPT_SPACE' },
    card: {
      about: 'an auto-encoder of the prompts of several tasks',
      paper: {
        authors: 'Qin et al.',
        year: 2021,
        title: 'Exploring Universal Intrinsic Task Subspace via Prompt Tuning',
        url: 'https://arxiv.org/abs/2110.07867',
      },
      learningRate: 3e-5,
    },
  });

/**
 * The first stage of IPT, intrinsic prompt tuning: a space of few numbers for the prompts of many tasks. [D(E(P_t)); E(x)] with P_t [m, d] the frozen prompt of the example's task t, E(p) = W₁p + b₁ with W₁ [r, m·d] and D(c) = W₃·tanh(W₂c + b₂) + b₃ with
 * W₂ [h, r] and W₃ [m·d, h], all from U(−1/√in, 1/√in); the loss is that of the task and α·mean((D(E(P_t)) − P_t)²). Each example says its task in the column `task` (i32, from 0), in the order of `sources`; `iptSpaceFor(task)` is for one of them alone.
 * `ipt({ space: await snapshot(adapted, { executor }) })` then trains a code of r numbers for another task. Files have a layout of our own. Does not merge. Throws `bad-option`, also when attached, for prompts of other sizes.
 * Qin et al., 2021. https://arxiv.org/abs/2110.07867 By the authors' code, https://github.com/thunlp/Intrinsic-Prompt-Tuning, bartPrompt.py, AE_type 1 of example_scripts/MSF_prompt.sh.
 */
export const iptSpace: MethodFactory<IptSpaceOptions> = define(null);

/** `iptSpace` for inputs of one task, which need no column `task`. */
export const iptSpaceFor = (task: number): MethodFactory<IptSpaceOptions> => define(task);
