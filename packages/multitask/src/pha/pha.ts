import {
  count,
  defineMethod,
  glorotUniform,
  type MethodFactory,
  normal,
  type Patch,
  positive,
  requireOneWidth,
  type Scope,
  zeros,
} from '@peftjs/core';
import { add, gather, PeftError, relu, type Tensor } from '@peftjs/tensor';
import type { Around, Model, Path, Tower } from '@peftjs/transformer';
import { onlyTask, type TaskedMethod, taskColumns, taskFault, tasksOf } from '../task-column.ts';
import { adapterGenerator } from './adapter-generator.ts';
import { linear } from './linear.ts';
import { retriever } from './retriever.ts';

/** Options of `pha`. */
export interface PhaOptions {
  /** Tasks that examples come from; from two on there is a retriever. Default 1. */
  readonly tasks?: number;
  /** Width r of an adapter's middle. Default 64. */
  readonly bottleneck?: number;
  /** Width e of prototypes, of the embeddings of layers, and of the features of a text. Default 64. */
  readonly embedding?: number;
  /** Width of what prototype and layer become together. Default 64. */
  readonly projected?: number;
  /** Width of the layers between, in the network and in the retriever. Default 128. */
  readonly hidden?: number;
  /** The weight of the retriever's losses. Default 0.1. */
  readonly contrast?: number;
  /** τ, by which their cosines are divided. Default 0.1. */
  readonly temperature?: number;
}

/** The encoder before the main tower; null where there is one tower alone. Throws `bad-option` where towers stand side by side. */
const encoderOf = ({ towers, main }: Model): Tower | null => {
  if (towers.length === 1) return null;
  if (main.paths('cross').length > 0) return towers[0];
  throw new PeftError(
    'bad-option',
    `pha: is for models of one tower, or of an encoder and a decoder, and this one has ${towers.map(({ name }) => name).join(' and ')} side by side; adapt its layers instead, with lora or ia3`,
  );
};

/** The paths of a tower's MLPs that the method may change. */
const mlpsOf = (model: Model, tower: Tower): readonly Path[] =>
  tower.paths('mlp').filter((path) => model.paths('mlp').includes(path));

/** The adapter of an encoder's layer, trained itself: U·relu(D·x + b_D) + b_U. */
const trainedAdapter = (scope: Scope, d: number, r: number): ((x: Tensor) => Tensor) => {
  const init = { weight: glorotUniform(1e-4), bias: zeros };
  const [down, up] = [linear(scope, 'adapter_down', d, r, init), linear(scope, 'adapter_up', r, d, init)];
  return (x) => up(relu(down(x)));
};

const define = (only: number | null): MethodFactory<PhaOptions> =>
  defineMethod<PhaOptions>({
    name: 'pha',
    formula: {
      merges: false,
      options: {
        tasks: count('num_tasks', 1),
        bottleneck: count('adapter_dim', 64),
        embedding: count('task_embedding_dim', 64),
        projected: count('projected_task_embedding_dim', 64),
        hidden: count('hypernetwork_bottleneck', 128),
        contrast: positive('contrast_weight', 0.1),
        temperature: positive('contrast_temperature', 0.1),
      },
      check: ({ tasks = 1 }) => taskFault({ method: 'pha', tasks, only }),
      attach: (model, scope, { tasks, bottleneck, ...sizes }): Patch => {
        requireOneWidth(model, 'pha', model.main);
        const { main } = model;
        const encoder = encoderOf(model);
        const tasked: TaskedMethod = { method: 'pha', tasks, only: onlyTask(only, tasks) };
        const prototypes = scope.param('adapter_task_embedding.weight', [tasks, sizes.embedding], normal(1));
        const layers = main.paths('block').length;
        const network = scope.at('param_gen');
        const made = adapterGenerator(network, { ...sizes, bottleneck, hiddenSize: main.hiddenSize, layers });
        const mlp = new Map<Path, Around<'mlp'>>();
        for (const path of mlpsOf(model, main))
          mlp.set(path, (x, next, call) =>
            add(next(x), made(x, gather(prototypes, tasksOf(call, tasked)), call.layer!)),
          );
        if (encoder)
          for (const path of mlpsOf(model, encoder)) {
            const beside = trainedAdapter(scope.at(path), encoder.hiddenSize, bottleneck);
            mlp.set(path, (x, next) => add(next(x), beside(x)));
          }
        const { around, ...losses } = tasks > 1 ? retriever(model, encoder, scope, prototypes, tasked, sizes) : {};
        return { around: { mlp, ...around }, ...losses, ...taskColumns(tasked) };
      },
    },
    files: { peftType: 'PEFTJS_PHA' },
    card: {
      about: "a network that makes each layer's adapter of prototypes of tasks",
      paper: {
        authors: 'Zhao, Fu & He',
        year: 2023,
        title: 'Prototype-based HyperAdapter for Sample-Efficient Multi-task Tuning',
        url: 'https://arxiv.org/abs/2310.11670',
      },
      learningRate: 3e-4,
    },
  });

/**
 * PHA, the prototype-based hyper-adapter: beside every MLP of the decoder y ← mlp(x) + U·relu(D·x + b_D) + b_U, an adapter whose D [r, d], U [d, r] and biases are linear in v = LN(W₂·relu(W₁·[z_t; l_i] + b₁) + b₂), z_t the trained prototype of the
 * example's task, l_i the embedding of the layer, both from N(0, 1). W₁, W₂ are from PyTorch's U(−1/√in, 1/√in), the generators so small that it begins nearly as the identity. In an encoder-decoder the MLPs of the encoder have adapters that are trained themselves, alike for all tasks.
 * Training also has a retriever, which makes features f of each text from the mean of the encoder's states. To the loss are added `contrast` times two: that of texts of a batch, −log(exp(s_ij) / Σ_{k≠i} exp(s_ik)) over those of one task, and that of prototypes, −(s_it − log Σ_{k≠t} exp(s_ik)), s the cosines over τ.
 * In a model of one tower, which the authors have not, all MLPs have made adapters, and the retriever reads the last states of the base, by one more forward pass in a step. Of one task alone there is no retriever. The search for the prototype of a task that was not trained is not in the authors' code, nor here.
 * Each example says its task in the column `task` (i32, from 0); `phaFor(task)` is for one of them alone. Files have a layout of our own. Does not merge. Throws `bad-option`, also when attached, for towers side by side.
 * Zhao, Fu & He, 2023. https://arxiv.org/abs/2310.11670 By the authors' code, https://github.com/Bumble666/PHA, modeling/adapter_generators.py, modeling/adapter_t5.py, third_party/trainers/t5_trainer.py and configs/experiments/glue_t5_base.json.
 */
export const pha: MethodFactory<PhaOptions> = define(null);

/** `pha` for inputs of one task, which need no column `task`: to generate with an adapter of several, `load(model, dir, [phaFor(2)])`. */
export const phaFor = (task: number): MethodFactory<PhaOptions> => define(task);
