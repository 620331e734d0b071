import {
  count,
  defineMethod,
  kaimingUniform,
  type MethodFactory,
  number,
  ones,
  rate,
  type Target,
  targeted,
  targets,
  zeros,
} from '@peftjs/core';
import { mul, type Tensor } from '@peftjs/tensor';
import type { Linear, Path } from '@peftjs/transformer';
import { addDelta } from '../add-delta.ts';
import { deltaOf } from '../low-rank.ts';
import { gatherImportance, type Updated, type Watched } from './importance.ts';
import { pruneGroups, spread } from './prune-groups.ts';
import { letGo } from './sparsity.ts';

/** Options of `loraPrune`. */
export interface LoraPruneOptions {
  /** The layers that are updated, and by which importance is known. Default: all linear layers but the output head. */
  readonly target?: Target;
  /** Rank r of the updates. Default 8. */
  readonly rank?: number;
  /** Updates are scaled by alpha / rank. Default 16. */
  readonly alpha?: number;
  /** Probability that an input of an update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** The share of heads and channels that is gone at last, in (0, 1). Default 0.5. */
  readonly ratio?: number;
  /** Steps of the training. Default 1000. */
  readonly steps?: number;
  /** The share of them before the first decision. Default 0.1. */
  readonly warmup?: number;
  /** The share of them after the last decision. Default 0.1. */
  readonly final?: number;
  /** Steps from one decision to the next. Default 10. */
  readonly every?: number;
}

/** y = W·(m∘x) + b, whose columns of what is gone are zero. */
const masked = (base: Linear, mask: Tensor): Linear => ({
  ...base,
  apply: (x, call) => base.apply(mul(x, mask), call),
  dense: () => {
    const { weight, bias } = base.dense();
    return { weight: mul(weight, mask), bias };
  },
});

/**
 * LoRAPrune: LoRA that prunes the base. Masks m of heads and of the channels of MLPs, [heads] and [channels], 1 at first, multiply what the last layer of an attention or MLP reads: y = (W + (alpha/r)·BA)·(m∘x), all other
 * targeted layers are LoRA's. A [rank, in] is from U(−1/√in, 1/√in), B [out, rank] zero at the start. Every step estimates how important each structure is without a gradient of W: of |(∂B·A + B·∂A − ∂B·∂A) ∘ (W + (alpha/r)·BA)| the sums over
 * the rows that make it and the columns that read it, each layer's divided by their length, added up, as an average that keeps 0.9. At some steps the least important of each group go, after `warmup` from none to the share `ratio` by 1 − (1 − t)³;
 * training must have as many steps as `steps` says. Heads of queries that share a head of keys go with it. The first tenth of the attentions and of the MLPs and the last of each stay whole. Each step forms matrices of the weights' shapes.
 * The groups keep unlike numbers, which no configuration of a model can say, so masks are saved with the adapter, and a merged model has zeros for what is gone: it is saved and loaded as the base is. Throws `bad-option`, also
 * when attached to a model that does not tell its structures, and then `no-match`.
 * Zhang et al., 2023. https://arxiv.org/abs/2305.18403. As the authors' code has it, https://github.com/aim-uofa/LoRAPrune, which looks at gradients after they were clipped, and whose masks stand after the layers that make a head or channel, with the same
 * effect.
 */
export const loraPrune: MethodFactory<LoraPruneOptions> = defineMethod<LoraPruneOptions>({
  name: 'loraPrune',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      rank: count('r', 8),
      alpha: number('lora_alpha', 16),
      dropout: rate('lora_dropout', 0),
      ratio: rate('ratio', 0.5),
      steps: count('total_step', 1000),
      warmup: rate('warmup_iters', 0.1),
      final: rate('cooldown_iters', 0.1),
      every: count('prune_freq', 10),
    },
    check: ({ warmup = 0.1, final = 0.1 }) =>
      warmup + final < 1 ? null : `warmup ${warmup} and final ${final} leave no steps between them`,
    attach: (model, scope, options) => {
      const { target, rank, alpha, dropout } = options;
      const chosen = new Set(targeted(model.linears.keys(), target, 'loraPrune'));
      const groups = pruneGroups(model, chosen).map((group): Watched => {
        const own = scope.at(group.reader);
        const mask = own.buffer('lora_mask', [group.count], ones);
        return { ...group, mask, importance: own.running('importance', [group.count], zeros) };
      });
      const layers = new Map<Path, Updated>();
      const update = (base: Linear, path: Path): Linear => {
        const own = scope.at(path);
        const a = own.param('lora_A', [rank, base.inDim], kaimingUniform);
        const b = own.param('lora_B', [base.outDim, rank], zeros);
        const scale = alpha / rank;
        layers.set(path, { a, b, scale, base });
        return addDelta(base, deltaOf(own, a, b, scale, dropout));
      };
      const masks = new Map(groups.map(({ reader, mask }) => [reader, mask]));
      const wrap =
        (path: Path) =>
        (base: Linear): Linear => {
          const layer = chosen.has(path) ? update(base, path) : base;
          const mask = masks.get(path);
          return mask ? masked(layer, spread(mask, base.inDim)) : layer;
        };
      return {
        linear: new Map([...new Set([...chosen, ...masks.keys()])].map((path) => [path, wrap(path)])),
        statistics: (step) => gatherImportance(groups, layers, step),
        decision: letGo(groups, options),
      };
    },
  },
  files: { peftType: 'PEFTJS_LORA_PRUNE' },
  card: {
    about: 'low-rank updates that tell which heads and channels of the base go',
    paper: {
      authors: 'Zhang et al.',
      year: 2023,
      title: 'LoRAPrune: Structured Pruning Meets Low-Rank Parameter-Efficient Fine-Tuning',
      url: 'https://arxiv.org/abs/2305.18403',
    },
    learningRate: 1e-4,
    narrowRate: 1e-2,
  },
});
