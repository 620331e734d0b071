import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  normal,
  number,
  type Option,
  oneOf,
  type Projection,
  rate,
  type Scope,
  type Target,
  targeted,
  targets,
  zeros,
} from '@peftjs/core';
import { abs, matmul, maximum, mul, sign, sub, type Variable } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { addDelta, type Delta } from '../add-delta.ts';
import { type KeptRanks, pruned } from './prune.ts';
import { type SparsityOptions, type SparsitySchedule, sparsityAt } from './schedule.ts';

/** Options of `sora`. */
export interface SoraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** The rank r of every layer at the start. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank, also once there are fewer. Default 16. */
  readonly alpha?: number;
  /** λ: after a step gates come nearer to zero by λ times the learning rate. Default 0.4. */
  readonly sparsity?: number;
  /** λ in the end, where it grows. Default 0: it stays. */
  readonly maxSparsity?: number;
  /** How it grows: λ itself, e^λ (`log`) or log λ (`exp`) evenly. Default `linear`. */
  readonly schedule?: SparsitySchedule;
  /** Values that it has from the first to the last, each for as many steps. Default 10. */
  readonly stages?: number;
  /** Steps of the training, over which it grows. Default 1000. */
  readonly steps?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
  /** The ranks that an earlier training kept, by path. */
  readonly kept?: KeptRanks;
}

const keptOption: Option<KeptRanks> = {
  key: 'kept_ranks',
  fallback: () => ({}),
  expected: 'whole numbers of at least 0 by paths',
  accepts: (v) =>
    typeof v === 'object' &&
    v !== null &&
    !Array.isArray(v) &&
    Object.values(v).every((rank) => Number.isSafeInteger(rank) && rank >= 0),
  toJson: (kept) => (Object.keys(kept).length > 0 ? { ...kept } : null),
};

/** The update of one layer, with its gate. */
interface Gated extends Delta {
  readonly gate: Variable;
}

const gated = (
  { inDim, outDim }: Linear,
  own: Scope,
  rank: number,
  { scale, dropout }: { readonly scale: number; readonly dropout: number },
): Gated => {
  const a = own.param('lora_A', [rank, inDim], kaimingUniform);
  const gate = own.param('lora_gate', [rank], normal(1), { decay: false });
  const b = own.param('lora_B', [outDim, rank], zeros);
  return {
    gate,
    apply: (x) => {
      const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank]
      return matmul(mul(low, mul(gate, scale)), b, { transposeB: true });
    },
    dense: () => matmul(mul(b, mul(gate, scale)), a),
  };
};

/** The proximal step of λ·|g|: sign(g)·max(|g| − rate·λ, 0). */
const soften =
  (layers: readonly Gated[], options: SparsityOptions): Projection =>
  (updated, { feed }) => {
    const threshold = feed('threshold', [], (step, now) => Float32Array.of(now * sparsityAt(options, step)));
    return layers.map(({ gate }) => {
      const now = updated(gate);
      return [gate, mul(sign(now), maximum(sub(abs(now), threshold), 0))];
    });
  };

/**
 * SoRA: y = Wx + (alpha/r)·B·(g∘(A·dropout(x))), LoRA with a gate g of r values that become sparse: after the optimiser's step
 * g ← sign(g)·max(|g| − ηλ, 0), with η the learning rate, the proximal step of λ·|g|. λ may grow in stages. What is saved has the ranks whose gate is
 * not zero alone. A [rank, in] is from U(−1/√in, 1/√in), g from N(0, 1), B [out, rank] zero at the start. Weight decay leaves g alone.
 * Merges. Throws `bad-option`, and when attached `no-match`.
 * Ding et al., 2023. https://arxiv.org/abs/2311.11696. First values, alpha and schedules are those of the authors' code,
 * https://github.com/TsinghuaC3I/SoRA, the threshold that of its `sparse_optimizer_multiply_lr.py`. Its other optimiser has a fixed one,
 * 3e-4 in its scripts at a peak rate of 8e-4, which the default λ is at that peak; it also zeroes gates that are within twice the
 * threshold, which neither the paper nor this does.
 */
export const sora: MethodFactory<SoraOptions> = defineMethod<SoraOptions>({
  name: 'sora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      alpha: number('lora_alpha', 16),
      sparsity: number('sparse_lambda', 0.4),
      maxSparsity: number('max_lambda', 0),
      schedule: oneOf<SparsitySchedule>('lambda_schedule', ['linear', 'log', 'exp'], 'linear'),
      stages: count('lambda_num', 10),
      steps: count('total_step', 1000),
      dropout: rate('lora_dropout', 0),
      bias: biases('sora'),
      kept: keptOption,
    },
    check: ({ sparsity = 0.4, maxSparsity = 0, schedule = 'linear' }) => {
      if (sparsity < 0 || maxSparsity < 0)
        return `sparsity ${sparsity} and maxSparsity ${maxSparsity} must not be below 0`;
      if (maxSparsity > 0 && maxSparsity < sparsity)
        return `maxSparsity ${maxSparsity} must not be below sparsity ${sparsity}`;
      return maxSparsity > 0 && schedule === 'exp' && sparsity === 0
        ? 'the schedule exp begins with a sparsity above 0'
        : null;
    },
    compact: async (_model, options, state) => {
      const final = pruned(state);
      if (!final) return { method: sora(options), state };
      return { method: sora({ ...options, kept: { ...options.kept, ...final.ranks } }), state: final.state };
    },
    attach: (model, scope, options) => {
      const { target, rank, alpha, dropout, kept } = options;
      const layers = new Map<string, Gated>();
      for (const path of targeted(model.linears.keys(), target, 'sora')) {
        const own = kept[path] ?? rank;
        const how = { scale: alpha / rank, dropout };
        if (own > 0) layers.set(path, gated(model.linears.get(path)!, scope.at(path), own, how));
      }
      return {
        linear: new Map([...layers].map(([path, layer]) => [path, (base) => addDelta(base, layer)])),
        project: soften([...layers.values()], options),
      };
    },
  },
  files: { peftType: 'PEFTJS_SORA' },
  card: {
    about: 'low-rank updates with gates that become sparse',
    paper: {
      authors: 'Ding et al.',
      year: 2023,
      title: 'Sparse Low-rank Adaptation of Pre-trained Language Models',
      url: 'https://arxiv.org/abs/2311.11696',
    },
    learningRate: 8e-4,
    narrowRate: 1e-2,
  },
});
