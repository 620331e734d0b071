import {
  count,
  defineMethod,
  kaimingUniform,
  type MethodFactory,
  normal,
  type Option,
  ones,
  positive,
  zeros,
} from '@peftjs/core';
import {
  initOf,
  isPromptSnapshot,
  maxOfTokens,
  type PromptSnapshot,
  type RowInit,
  rowInit,
  rowsInFront,
  trainedRows,
} from '@peftjs/prompts';
import {
  add,
  broadcastTo,
  concat,
  constant,
  gather,
  layerNorm,
  matmul,
  max,
  mul,
  PeftError,
  reshape,
  silu,
  slice,
  softmax,
  type Tensor,
} from '@peftjs/tensor';
import { onlyTask, taskColumns, taskFault, tasksOf } from './task-column.ts';

/** Options of `attempt`. */
export interface AttemptOptions {
  /** Prompts that were trained on other tasks, of the same length: `[await snapshot(adapted, { executor }), …]`. They are frozen, and saved with the adapter. */
  readonly sources: readonly PromptSnapshot[];
  /** Virtual tokens m, as many as the sources have. Default 20; the paper has 100. */
  readonly length?: number;
  /** Tasks that examples come from, each with a prompt of its own; the attention is shared. Default 1. */
  readonly tasks?: number;
  /** First values of the tasks' prompts: as in `promptTuning`, or the number of a source. Default `vocabulary`. */
  readonly init?: RowInit | number;
  /** Width of the attention's inner layer. Default 100. */
  readonly bottleneck?: number;
  /** τ, by which the scores are divided. Default 2000. */
  readonly temperature?: number;
}

/** The prompts of a file, which has them itself. */
type FromFile = number;

const sourcesOption: Option<readonly PromptSnapshot[]> = {
  key: 'num_sources',
  fallback: () => {
    throw new PeftError('bad-option', 'attempt: sources must be given: [await snapshot(adapted, { executor })]');
  },
  expected: 'one or more snapshots of prompts',
  accepts: (v) => (Array.isArray(v) && v.length > 0 && v.every(isPromptSnapshot)) || isFromFile(v),
  toJson: (sources) => countOf(sources),
};

const isFromFile = (v: unknown): v is FromFile => Number.isSafeInteger(v) && (v as number) >= 1;

const countOf = (sources: readonly PromptSnapshot[] | FromFile): number =>
  isFromFile(sources) ? sources : sources.length;

const initOption: Option<RowInit | number> = {
  ...rowInit,
  expected: `${rowInit.expected} or the number of a source`,
  accepts: (v) => rowInit.accepts(v) || (Number.isSafeInteger(v) && (v as number) >= 0),
};

const define = (only: number | null): MethodFactory<AttemptOptions> =>
  defineMethod<AttemptOptions>({
    name: 'attempt',
    formula: {
      merges: false,
      options: {
        sources: sourcesOption,
        length: count('num_virtual_tokens', 20),
        tasks: count('num_tasks', 1),
        init: initOption,
        bottleneck: count('bottleneck_dim', 100),
        temperature: positive('temperature', 2000),
      },
      check: ({ tasks = 1, init, sources }) =>
        typeof init === 'number' && sources && init >= countOf(sources)
          ? `init: there are sources 0 to ${countOf(sources) - 1}, got ${init}`
          : taskFault({ method: 'attempt', tasks, only }),
      attach: (model, scope, { sources, length, tasks, init, bottleneck, temperature }) => {
        const tasked = { method: 'attempt', tasks, only: onlyTask(only, tasks) };
        const n = countOf(sources);
        const patch = rowsInFront(model, { length }, ({ dim, weight }) => {
          const shape = [length, dim];
          const known = isFromFile(sources)
            ? zeros // a file has them
            : constant(
                Float32Array.from(sources.flatMap((s, i) => [...trainedRows(`attempt: sources ${i}`, s, shape)])),
                [n, length, dim],
              );
          const others = scope.buffer('source_embeddings', [n, length, dim], known);
          const all = tasks * length;
          const own = scope.param(
            'prompt_embeddings',
            [tasks, length, dim],
            typeof init === 'number'
              ? broadcastTo(slice(others, { axis: 0, start: init, end: init + 1 }), [tasks, length, dim])
              : init === 'random' || isFromFile(sources)
                ? normal(1)
                : {
                    graph: (random) => {
                      const first = initOf(init, model, all, (ids) => gather(weight, constant(ids, [all])));
                      const rows = (first as { graph(r: typeof random): Tensor }).graph(random);
                      return reshape(rows, [tasks, length, dim]);
                    },
                  },
          );
          const down = scope.param('attn_W_down.weight', [bottleneck, dim], kaimingUniform);
          const up = scope.param('attn_W_up.weight', [dim, bottleneck], kaimingUniform);
          const norm = [
            scope.param('layer_norm.weight', [dim], ones),
            scope.param('layer_norm.bias', [dim], zeros),
          ] as const;
          return (x, call) => {
            const { batch } = call.pass;
            const target = broadcastTo(gather(own, tasksOf(call, tasked)), [batch, length, dim]);
            const flat = reshape(broadcastTo(others, [n, length, dim]), [1, n, length * dim]);
            const every = concat(
              broadcastTo(flat, [batch, n, length * dim]),
              reshape(target, [batch, 1, length * dim]),
              { axis: 1 },
            );
            const keys = max(reshape(every, [batch, n + 1, length, dim]), { axes: [2] }); // [batch, n + 1, d]
            const inner = silu(matmul(maxOfTokens(x, call), down, { transposeB: true }));
            const query = layerNorm(matmul(inner, up, { transposeB: true }), ...norm, { eps: 1e-5 }); // [batch, 1, d]
            const scores = mul(matmul(query, keys, { transposeB: true }), 1 / temperature);
            const mixed = matmul(softmax(scores), every); // [batch, 1, m·d]
            return add(target, reshape(mixed, [batch, length, dim]));
          };
        });
        return { ...patch, ...taskColumns(tasked) };
      },
    },
    files: { peftType: 'PEFTJS_ATTEMPT' },
    card: {
      about: 'rows in front of the embeddings, and attention over prompts of other tasks',
      paper: {
        authors: 'Asai et al.',
        year: 2022,
        title: 'ATTEMPT: Parameter-Efficient Multi-task Tuning via Attentional Mixtures of Soft Prompts',
        url: 'https://arxiv.org/abs/2205.11961',
      },
      learningRate: 0.1,
    },
  });

/**
 * ATTEMPT: [P_t + Σⱼ aⱼPⱼ; E(x)], the task's own trained rows P_t [m, d] and a mean of those and of frozen prompts of other tasks, by attention of each text: aⱼ = softmax(max(Pⱼ)·h / τ), h = LN(W_up·silu(W_down·max(E(x)))), the
 * largest values of each feature over rows. W_down [100, d], W_up [d, 100] from PyTorch's U(−1/√in, 1/√in), the norm's scale and bias; tasks share them. Of more than one task each example says its own in the column `task`; `attemptFor(task)` is for one of them.
 * Generation keeps the prompt of the text that it continues. Files have a layout of our own. Does not merge. Throws `bad-option`, also when attached, for sources of other sizes.
 * Asai, Salehi, Peters & Hajishirzi, 2022. https://arxiv.org/abs/2205.11961 By the authors' code, https://github.com/AkariAsai/ATTEMPT, attempt/third_party/models/t5/modeling_t5.py, attention `sub`.
 */
export const attempt: MethodFactory<AttemptOptions> = define(null);

/** `attempt` for inputs of one task, which need no column `task`: to generate with an adapter of several, `load(model, dir, [attemptFor(2)])`. */
export const attemptFor = (task: number): MethodFactory<AttemptOptions> => define(task);
