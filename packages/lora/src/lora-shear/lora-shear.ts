import {
  count,
  defineMethod,
  kaimingUniform,
  type MethodFactory,
  number,
  type Option,
  ones,
  rate,
  type Target,
  targeted,
  targets,
  zeros,
} from '@peftjs/core';
import { broadcastTo, concat, constant, greater, mul, PeftError, reshape, type Tensor } from '@peftjs/tensor';
import type { Linear, Model, Path } from '@peftjs/transformer';
import { addDelta } from '../add-delta.ts';
import { type PruneGroup, spread, structuresOf } from '../lora-prune/prune-groups.ts';
import { deltaOf } from '../low-rank.ts';
import { halfSpace } from './half-space.ts';
import { lossesWithout } from './knowledge.ts';
import type { Sheared, ShearedLayer } from './scores.ts';

/** Options of `loraShear`. */
export interface LoraShearOptions {
  /** The layers that are updated; structures that none of them makes stay. Default: all linear layers but the output head. */
  readonly target?: Target;
  /** Rank r of the updates. Default 8. */
  readonly rank?: number;
  /** Updates are scaled by alpha / rank. Default 16. */
  readonly alpha?: number;
  /** Probability that an input of an update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** The share that is gone at last of the heads and channels that may go, in [0, 1). Default 0.2. */
  readonly ratio?: number;
  /** Steps of the training. Default 1000. */
  readonly steps?: number;
  /** The share of them before the first choice. Default 0.1. */
  readonly warmup?: number;
  /** The share of them after the last structure is gone, which recover what was lost. Default 0.2. */
  readonly final?: number;
  /** Choices between, at most one a step. Default 10. */
  readonly periods?: number;
  /** The share of attentions and MLPs without which the loss of examples is largest, which `prepare` finds and which stay whole. Default 0.1. */
  readonly unprunable?: number;
  /** The last layers of those that stay whole, as `prepare` finds them. Default null: they are to be found, if `unprunable` is not 0. */
  readonly whole?: readonly Path[] | null;
}

const wholeOption: Option<readonly Path[] | null> = {
  key: 'unprunable_modules',
  fallback: () => null,
  expected: 'null, or paths of layers as prepare finds them',
  accepts: (v) => v === null || (Array.isArray(v) && v.every((path) => typeof path === 'string')),
};

/** The groups of which something is updated. Throws `bad-option` where there is none. */
const groupsOf = (model: Model, chosen: ReadonlySet<Path>): readonly PruneGroup[] => {
  const groups = structuresOf('loraShear', model)
    .flat()
    .filter(({ makers }) => makers.some(({ path }) => chosen.has(path)));
  if (groups.length === 0)
    throw new PeftError('bad-option', 'loraShear: target names no layer that makes heads or channels');
  return groups;
};

/** Numbers of groups as one for each of a layer's rows, 1 for rows that make none of their structures: [outDim]. */
const rowsOf = (
  path: Path,
  { outDim }: Linear,
  groups: readonly Sheared[],
  numbers: (group: Sheared) => Tensor,
): Tensor => {
  const parts = groups.flatMap((group) =>
    group.makers
      .filter((part) => part.path === path)
      .map((part) => ({ ...part, rows: spread(numbers(group), part.size) })),
  );
  const pieces: Tensor[] = [];
  let at = 0;
  const fill = (to: number): void => {
    if (to > at) pieces.push(broadcastTo(constant(Float32Array.of(1), []), [to - at]));
  };
  for (const { start, size, rows } of parts.sort((a, b) => a.start - b.start)) {
    fill(start);
    pieces.push(rows);
    at = start + size;
  }
  fill(outDim);
  return pieces.reduce((all, piece) => concat(all, piece, { axis: 0 }));
};

/** y = m∘(Wx + b) with a factor for each row. */
const masked = (base: Linear, rows: Tensor): Linear => ({
  ...base,
  apply: (x, call) => mul(base.apply(x, call), rows),
  dense: () => {
    const { weight, bias } = base.dense();
    return { weight: mul(weight, reshape(rows, [base.outDim, 1])), bias: bias && mul(bias, rows) };
  },
});

/**
 * LoRAShear: LoRA that prunes the base while it learns. Structures are heads and channels of MLPs; the rows of all layers that make one belong together (its minimal removal structure), and y = m∘(Wx + b) + (alpha/r)·BA·x in these layers, with m 1 for
 * what stays. A [rank, in] is from U(−1/√in, 1/√in), B [out, rank] zero at the start. LHSPG: after the share `warmup` of the steps, and then at the beginning of each of `periods` equal parts of those before `final`, the least important structures of all are chosen; within the part
 * their rows of W, b and B are shrunk to 0 in equal steps, while training goes on and moves what they know to the others, and they stay 0. Importance is the mean of ‖W‖, ‖W‖ by tensor, the cosine of W and BA plus 1, |⟨W, BA⟩| and ½⟨W, BA⟩², each divided by its
 * length over all structures. One structure of each attention and MLP stays at least. `prepare` analyses where knowledge lies: it takes out each attention and MLP as a whole, and those of the largest loss of the examples stay whole.
 *
 * As the authors' code has it, https://github.com/microsoft/only_train_once, `optimizer/lhspg.py`: choices look at W and BA as they are, not at gradients. Its choice among more than are needed, when those that are gone score higher than others, goes by number; here it goes by
 * importance. The paper's recovery is further training, of which the steps of `final` are a part; its choice of data for that is not here. Masks are saved with the adapter, and a merged model has zeros for what is gone, as of `loraPrune`. Merges. Throws
 * `bad-option`, also when attached to a model that does not tell its structures, and then `no-match`.
 * Chen et al., 2023. https://arxiv.org/abs/2310.18356
 */
export const loraShear: MethodFactory<LoraShearOptions> = defineMethod<LoraShearOptions>({
  name: 'loraShear',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      rank: count('r', 8),
      alpha: number('lora_alpha', 16),
      dropout: rate('lora_dropout', 0),
      ratio: rate('target_group_sparsity', 0.2),
      steps: count('total_step', 1000),
      warmup: rate('warmup_iters', 0.1),
      final: rate('cooldown_iters', 0.2),
      periods: count('pruning_periods', 10),
      unprunable: rate('unprunable_ratio', 0.1),
      whole: wholeOption,
    },
    check: ({ warmup = 0.1, final = 0.2 }) =>
      warmup + final < 1 ? null : `warmup ${warmup} and final ${final} leave no steps between them`,
    prepare: async (model, { target, unprunable, whole }, look) => {
      if (whole !== null) return {};
      const groups = groupsOf(model, new Set(targeted(model.linears.keys(), target, 'loraShear')));
      const most = Math.floor(unprunable * groups.length);
      if (most === 0) return { whole: [] };
      const losses = await lossesWithout(model, groups, look);
      const order = [...groups.keys()].sort((a, b) => losses[b]! - losses[a]! || a - b);
      return { whole: order.slice(0, most).map((i) => groups[i]!.reader) };
    },
    attach: (model, scope, options) => {
      const { target, rank, alpha, dropout, unprunable, whole } = options;
      const chosen = new Set(targeted(model.linears.keys(), target, 'loraShear'));
      const all = groupsOf(model, chosen);
      if (whole === null && Math.floor(unprunable * all.length) > 0)
        throw new PeftError(
          'bad-option',
          'loraShear: what stays whole is found by prepare; call it first, or give unprunable: 0',
        );
      const kept = new Set(whole ?? []);
      const groups = all
        .filter(({ reader }) => !kept.has(reader))
        .map((group): Sheared => {
          const own = scope.at(group.reader);
          const mask = own.buffer('lora_mask', [group.count], ones);
          return { ...group, mask, keep: own.running('lora_keep', [group.count], ones) };
        });
      const making = new Set(groups.flatMap(({ makers }) => makers.map(({ path }) => path)));
      const layers = new Map<Path, ShearedLayer>();
      const wrap =
        (path: Path) =>
        (base: Linear): Linear => {
          const rest = making.has(path)
            ? masked(
                base,
                rowsOf(path, base, groups, ({ mask }) => mask),
              )
            : base;
          if (!chosen.has(path)) {
            layers.set(path, { masked: rest, update: null });
            return rest;
          }
          const own = scope.at(path);
          const a = own.param('lora_A', [rank, base.inDim], kaimingUniform);
          const b = own.param('lora_B', [base.outDim, rank], zeros);
          layers.set(path, { masked: rest, update: { a, b } });
          return addDelta(rest, deltaOf(own, a, b, alpha / rank, dropout));
        };
      return {
        linear: new Map([...new Set([...chosen, ...making])].map((path) => [path, wrap(path)])),
        project: (updated) =>
          [...layers].flatMap(([path, { masked: layer, update }]) => {
            if (!update || !making.has(path)) return [];
            // What is gone stays gone, also in an adapter that was loaded.
            const rows = rowsOf(path, layer, groups, ({ mask, keep }) => mul(keep, greater(mask, 0)));
            return [[update.b, mul(updated(update.b), reshape(rows, [layer.outDim, 1]))] as const];
          }),
        decision: halfSpace(groups, layers, options),
      };
    },
  },
  files: { peftType: 'PEFTJS_LORA_SHEAR' },
  card: {
    about: 'low-rank updates while heads and channels of the base shrink to nothing',
    paper: {
      authors: 'Chen et al.',
      year: 2023,
      title: 'LoRAShear: Efficient Large Language Model Structured Pruning and Knowledge Recovery',
      url: 'https://arxiv.org/abs/2310.18356',
    },
    learningRate: 1e-4,
    narrowRate: 1e-2,
  },
});
