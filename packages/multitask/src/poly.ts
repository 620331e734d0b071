import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  type Scope,
  type Target,
  targets,
  uniform,
  zeros,
} from '@peftjs/core';
import {
  add,
  constant,
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
import type { Call } from '@peftjs/transformer';

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

const isSound = (task: number, tasks: number): boolean => Number.isSafeInteger(task) && task >= 0 && task < tasks;

/** Tasks of a batch's rows, [rows], or of all of them, [1]. */
const tasksOf = ({ pass, path }: Call, tasks: number, only: number | null): Tensor => {
  if (only !== null) return constant(Int32Array.of(only), [1]);
  const task = pass.inputs['task'];
  if (!task)
    throw new PeftError(
      'bad-option',
      `poly: ${path}: the inputs have no column task, and there are ${tasks} tasks; give each example its own, 0 to ${tasks - 1}, or load the adapter by polyFor(task)`,
    );
  const known = task.node.kind === 'constant' ? [...(task.node.data as Int32Array)] : [];
  const odd = known.filter((n) => !isSound(n, tasks));
  if (odd.length > 0) throw new PeftError('bad-data', `poly: there are tasks 0 to ${tasks - 1}, got ${odd.join(', ')}`);
  return task;
};

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
      check: ({ tasks = 1 }) =>
        only !== null && !isSound(only, tasks) ? `there are tasks 0 to ${tasks - 1}, polyFor got ${only}` : null,
      attach: (model, scope, { target, rank, tasks, skills, splits }) => {
        const one = only ?? (tasks === 1 ? 0 : null);
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
              const shares = sharesOf(logits, tasksOf(call, tasks, one), splits, own);
              const rows = shares.shape[1]!;
              const down = reshape(mixed(shares, a), [rows, inDim, rank]);
              const parts = reshape(mixed(shares, b), [rows, splits, rank, out]);
              const up = reshape(transpose(parts, [0, 2, 1, 3]), [rows, rank, outDim]);
              // Rows of the batch, of as many tokens each.
              const wide = reshape(x, [rows, -1, inDim]);
              const y = div(matmul(matmul(wide, down), up), rank);
              return add(base.apply(x, call), reshape(y, [...x.shape.slice(0, -1), outDim]));
            },
            dense: () => {
              throw new PeftError(
                'not-mergeable',
                `poly: ${path} depends on the task of each example, so it has no weight of its own`,
              );
            },
          };
        });
        return one === null ? { ...patch, columns: { task: { shape: [], dtype: 'i32', below: tasks } } } : patch;
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
