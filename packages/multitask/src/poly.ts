import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  noWeight,
  type Scope,
  type Target,
  targets,
  uniform,
  zeros,
} from '@peftjs/core';
import {
  add,
  div,
  gather,
  log,
  matmul,
  PeftError,
  reshape,
  sigmoid,
  sub,
  sum,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import { onlyTask, taskColumns, taskFault, tasksOf } from './task-column.ts';

/** Options of `poly`. */
export interface PolyOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of a skill. Default 8. */
  readonly rank?: number;
  /** Tasks that examples come from. Default 1. */
  readonly tasks?: number;
  /** Skills, each a LoRA, that tasks share. Default 4. */
  readonly skills?: number;
  /** Parts of inputs and outputs for which skills are chosen apart (multi-head routing); they divide both. Default 1. */
  readonly splits?: number;
}

/** Below it a sum of shares is taken for none. */
const least = 1e-12;

/** Shares of the skills, which sum to 1, [splits, rows, skills], of their logits [tasks, splits · skills]: while training each is drawn, near to 0 or 1. */
const sharesOf = (logits: Tensor, tasks: Tensor, splits: number, { draw }: Scope): Tensor => {
  const own = transpose(reshape(gather(logits, tasks), [tasks.shape[0]!, splits, -1]), [1, 0, 2]);
  const noise = draw?.(own.shape);
  const open = sigmoid(noise ? add(own, sub(log(add(noise, 1e-7)), log(sub(1 + 1e-7, noise)))) : own);
  return div(open, add(sum(open, { axes: [2], keepDims: true }), least));
};

const define = (only: number | null): MethodFactory<PolyOptions> =>
  defineMethod<PolyOptions>({
    name: 'poly',
    formula: {
      merges: false,
      options: {
        target: targets('target_modules', familyTarget('lora')),
        rank: count('r', 8),
        tasks: count('n_tasks', 1),
        skills: count('n_skills', 4),
        splits: count('n_splits', 1),
      },
      check: ({ tasks = 1 }) => taskFault({ method: 'poly', tasks, only }),
      attach: (model, scope, { target, rank, tasks, skills, splits }) => {
        const tasked = { method: 'poly', tasks, only: onlyTask(only, tasks) };
        const patch = eachLinear(model, scope, target, 'poly', (base, own, path) => {
          const { inDim, outDim } = base;
          if (inDim % splits !== 0 || outDim % splits !== 0)
            throw new PeftError(
              'bad-option',
              `poly: ${path}: splits ${splits} do not divide ${outDim} × ${inDim}; give a number that does`,
            );
          const [into, out] = [inDim / splits, outDim / splits];
          const a = own.param('poly_lora_A', [splits, skills, into, rank], uniform(1 / Math.sqrt(into)));
          const b = own.param('poly_lora_B', [splits, skills, rank, out], zeros);
          const logits = own.param('poly_router.module_logits', [tasks, splits * skills], uniform(1e-3));
          /** Means of the skills by their shares, [rows, splits, ...]. */
          const mixed = (shares: Tensor, factor: Tensor): Tensor =>
            transpose(matmul(shares, reshape(factor, [splits, skills, -1])), [1, 0, 2]);
          return {
            ...base,
            apply: (x, call) => {
              const shares = sharesOf(logits, tasksOf(call, tasked), splits, own);
              const rows = shares.shape[1]!;
              const down = reshape(mixed(shares, a), [rows, inDim, rank]);
              const parts = reshape(mixed(shares, b), [rows, splits, rank, out]);
              const up = reshape(transpose(parts, [0, 2, 1, 3]), [rows, rank, outDim]);
              // Rows of the batch, of as many tokens each.
              const wide = reshape(x, [rows, -1, inDim]);
              const y = div(matmul(matmul(wide, down), up), rank);
              return add(base.apply(x, call), reshape(y, [...x.shape.slice(0, -1), outDim]));
            },
            dense: noWeight('poly', path, 'depends on the task of each example'),
          };
        });
        return { ...patch, ...taskColumns(tasked) };
      },
    },
    files: {
      peftType: 'POLY',
      computes: { poly_type: ['poly'] },
      config: () => ({ poly_type: 'poly', init_weights: true }),
    },
    card: {
      about: 'skills that tasks share, each a LoRA',
      paper: {
        authors: 'Ponti et al.',
        year: 2022,
        title: 'Combining Modular Skills in Multitask Learning',
        url: 'https://arxiv.org/abs/2202.13914',
      },
      learningRate: 1e-3,
    },
  });

/**
 * Poly: y = Wx + (1/r)·B̄ᵀ·Āᵀ·x + b with Ā = Σₛ wₛ·Aₛ and B̄ = Σₛ wₛ·Bₛ, the means of several skills, each a LoRA, by shares w that a task has of its own: w = σ(z)/Σσ(z), z [tasks, splits · skills] trained, from U(−0.001, 0.001); while
 * training σ(z) is drawn, from the relaxed Bernoulli distribution of logits z at temperature 1. A [splits, skills, in/splits, rank] is from U(−1/√n, 1/√n) with n = in/splits, B [splits, skills, rank, out/splits] zero at the start. With more than one of
 * `splits` (multi-head routing) each part of the inputs and outputs has shares of its own. Of more than one task each example says its own in the column `task` (i32, from 0); `polyFor(task)` is for one of them alone.
 * Does not merge. Throws `bad-option`, also when attached to a layer that `splits` do not divide, and then `no-match`.
 * Ponti, Sordoni, Bengio & Reddy, 2022. https://arxiv.org/abs/2202.13914 Multi-head routing: Caccia et al., 2022. https://arxiv.org/abs/2211.03831
 */
export const poly: MethodFactory<PolyOptions> = define(null);

/** `poly` for inputs of one task, which need no column `task`: to generate with an adapter of several, `load(model, dir, [polyFor(2)])`. */
export const polyFor = (task: number): MethodFactory<PolyOptions> => define(task);
