import { count, defineMethod, type MethodFactory, normal, type Patch, requireOneWidth } from '@peftjs/core';
import { add, gather } from '@peftjs/tensor';
import type { Around, Model, Path, Tower } from '@peftjs/transformer';
import { onlyTask, type TaskedMethod, taskColumns, taskFault, tasksOf } from '../task-column.ts';
import { hyperNet, type Place } from './hyper-net.ts';

/** Options of `hyperformer` and `hyperformerPlusPlus`. */
export interface HyperformerOptions {
  /** Tasks that examples come from. Default 1. */
  readonly tasks?: number;
  /** d / r, by which an adapter's middle is narrower than the model, rounded down. Default 32. */
  readonly reduction?: number;
  /** Width of the embeddings of tasks, layers and places. Default 64. */
  readonly embedding?: number;
  /** Width of what they become together. Default 64. */
  readonly projected?: number;
  /** Width of the layer between. Default 128. */
  readonly hidden?: number;
}

/** One of the two methods: its name, and whether both places share generators. */
interface Variant {
  readonly name: string;
  readonly peftType: string;
  readonly shared: boolean;
  readonly about: string;
}

const places: readonly (readonly ['attn' | 'mlp', Place])[] = [
  ['attn', 'self_attention'],
  ['mlp', 'feed_forward'],
];

/** The scope's path of a tower's networks. */
const homeOf = ({ towers }: Model, { name }: Tower): Path =>
  `${towers.length > 1 ? `${name}.` : ''}adapter_layers_hyper_net`;

/** A method that makes adapters by networks: `only` is the task of all examples, where there is one. */
export const defineHyperformer = (
  { name, peftType, shared, about }: Variant,
  only: number | null,
): MethodFactory<HyperformerOptions> =>
  defineMethod<HyperformerOptions>({
    name,
    formula: {
      merges: false,
      options: {
        tasks: count('num_tasks', 1),
        reduction: count('reduction_factor', 32),
        embedding: count('task_embedding_dim', 64),
        projected: count('projected_task_embedding_dim', 64),
        hidden: count('task_hidden_dim', 128),
      },
      check: ({ tasks = 1 }) => taskFault({ method: name, tasks, only }),
      attach: (model, scope, { tasks, reduction, ...sizes }): Patch => {
        const tasked: TaskedMethod = { method: name, tasks, only: onlyTask(only, tasks) };
        const embeddings = scope.param('task_embeddings', [tasks, sizes.embedding], normal(1));
        const tables = { attn: new Map<Path, Around<'attn'>>(), mlp: new Map<Path, Around<'mlp'>>() };
        for (const tower of model.towers) {
          requireOneWidth(model, name, tower);
          const layers = tower.paths('block').length;
          const width = Math.max(1, Math.floor(tower.hiddenSize / reduction));
          const own = scope.at(homeOf(model, tower));
          const net = hyperNet(own, { ...sizes, hiddenSize: tower.hiddenSize, width, layers }, shared);
          for (const [site, place] of places)
            for (const path of tower.paths(site).filter((at) => model.paths(site).includes(at)))
              tables[site].set(path, (x, next, call) => {
                const y = next(x);
                return add(y, net[place](y, gather(embeddings, tasksOf(call, tasked)), call.layer!));
              });
        }
        return { around: tables, ...taskColumns(tasked) };
      },
    },
    files: { peftType },
    card: {
      about,
      paper: {
        authors: 'Karimi Mahabadi et al.',
        year: 2021,
        title: 'Parameter-efficient Multi-task Fine-tuning for Transformers via Shared Hypernetworks',
        url: 'https://arxiv.org/abs/2106.04489',
      },
      learningRate: 3e-4,
    },
  });
