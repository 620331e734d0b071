import { count, defineMethod, type MethodFactory, ones, type State, uniform, zeros } from '@peftjs/core';
import { type PromptSnapshot, rowsInFront, type TensorsOf, trainedRows } from '@peftjs/prompts';
import {
  add,
  constant,
  evaluate,
  layerNorm,
  maximum,
  minimum,
  mul,
  type OnExecutor,
  PeftError,
  reshape,
  type Tensor,
} from '@peftjs/tensor';
import { affine } from '@peftjs/transformer';
import { promptsOf, type Sources, shapeOf, sourceRows, sourcesOption } from './source-prompts.ts';
import { onlyTask, taskColumns, taskFault, tasksOf } from './task-column.ts';

/** Options of `tpt`. */
export interface TptOptions {
  /** Prompts that were trained on as many tasks of another model, of the same length: `[await snapshot(adapted, { executor }), …]`. They are frozen, and saved with the adapter. */
  readonly sources: Sources;
  /** Width h of the projector's inner layer. Default 768. */
  readonly inner?: number;
}

/** The sizes of a projector: m rows of the width of one model become as many of that of another. */
interface ProjectorSizes {
  readonly length: number;
  readonly from: number;
  readonly to: number;
  readonly inner: number;
}

/** Rows [tasks, m, d] of prompts in a row, [tasks, m · d']. */
const projectorOf = (tensors: TensorsOf, { length, from, to, inner }: ProjectorSizes): ((p: Tensor) => Tensor) => {
  const layer = (name: string, inDim: number, outDim: number) => {
    const init = uniform(1 / Math.sqrt(inDim));
    return {
      weight: tensors(`projector.${name}.weight`, [outDim, inDim], init),
      bias: tensors(`projector.${name}.bias`, [outDim], init),
    };
  };
  const first = layer('encoder', length * from, inner);
  const second = layer('decoder', inner, length * to);
  const norm = [
    tensors('projector.layer_norm.weight', [to], ones),
    tensors('projector.layer_norm.bias', [to], zeros),
  ] as const;
  return (p) => {
    const h = affine(p, first);
    const bent = add(maximum(h, 0), mul(minimum(h, 0), 0.01));
    return layerNorm(reshape(affine(bent, second), [-1, length, to]), ...norm, { eps: 1e-5 });
  };
};

const define = (only: number | null): MethodFactory<TptOptions> =>
  defineMethod<TptOptions>({
    name: 'tpt',
    formula: {
      merges: false,
      options: { sources: sourcesOption('tpt'), inner: count('inner_dim', 768) },
      check: ({ sources }) => (sources ? taskFault({ method: 'tpt', tasks: shapeOf('tpt', sources)[0], only }) : null),
      attach: (model, scope, { sources, inner }) => {
        const [tasks, length, from] = shapeOf('tpt', sources);
        const tasked = { method: 'tpt', tasks, only: onlyTask(only, tasks) };
        const patch = rowsInFront(model, { length }, ({ dim }) => {
          const known = sourceRows('tpt', scope, sources);
          const project = projectorOf(scope.param, { length, from, to: dim, inner });
          return (_, call) => project(promptsOf(known, tasksOf(call, tasked)));
        });
        return { ...patch, ...taskColumns(tasked) };
      },
    },
    files: { peftType: 'PEFTJS_TPT' },
    card: {
      about: "a projector that makes prompts of this model of another model's",
      paper: {
        authors: 'Su et al.',
        year: 2021,
        title: 'On Transferability of Prompt Tuning for Natural Language Processing',
        url: 'https://arxiv.org/abs/2111.06719',
      },
      learningRate: 5e-3,
    },
  });

/**
 * TPT, prompts that move between models: [π(P_t); E(x)] with P_t [m, d'] the frozen prompt that another model has learned for the example's task t, and a trained projector π(p) = LN(W₂·f(W₁p + b₁) + b₂) of the whole prompt in a row, W₁ [h, m·d'], W₂ [m·d, h],
 * f(x) = max(x, 0.01x), a norm of each row; values are from U(−1/√in, 1/√in). Each example says its task in the column `task` (i32, from 0), in the order of `sources`; `tptFor(task)` is for one of them alone. `projectedPrompt` then makes prompts of further
 * tasks, as they are or as first values of `promptTuning`. Files have a layout of our own. Does not merge. Throws `bad-option`, also when attached.
 * Su et al., 2021. https://arxiv.org/abs/2111.06719 By the authors' code, https://github.com/thunlp/Prompt-Transferability, Prompt-Transferability-1.0, tools/projector.py (AE_1_layer_mutiple_100) and tools/train_tool_cross.py.
 */
export const tpt: MethodFactory<TptOptions> = define(null);

/** `tpt` for inputs of one task, which need no column `task`. */
export const tptFor = (task: number): MethodFactory<TptOptions> => define(task);

/** A trained projector: `await snapshot(adapted, { executor })` of `tpt`. */
export interface PromptProjector {
  readonly state: State;
}

/**
 * A prompt of the model that a projector was trained for, made of another model's: give it to `promptTuning({ length, init: { prompt } })`. Throws `bad-option` for a snapshot of another method, or a prompt of other sizes than the projector's sources had.
 */
export const projectedPrompt = async (
  { state }: PromptProjector,
  prompt: PromptSnapshot,
  { executor }: OnExecutor,
): Promise<PromptSnapshot> => {
  const [sources, first, norm] = ['source_embeddings', 'projector.encoder.bias', 'projector.layer_norm.bias'].map(
    (name) => state.get(name)?.shape,
  );
  if (!sources || !first || !norm)
    throw new PeftError('bad-option', 'projectedPrompt: a snapshot of tpt is needed; got one without its projector');
  const [, length, from] = sources as readonly [number, number, number];
  const sizes = { length, from, to: norm[0]!, inner: first[0]! };
  const own = constant(trainedRows('projectedPrompt', prompt, [length, from]), [1, length * from]);
  const project = projectorOf((name, shape) => constant(Float32Array.from(state.get(name)!.data), shape), sizes);
  const { rows } = await evaluate({ rows: project(own) }, { executor });
  return { state: new Map([['prompt_embeddings', { shape: [length, sizes.to], data: rows! }]]) };
};
