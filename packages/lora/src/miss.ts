import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodCard,
  type MethodFactory,
  type Option,
  rate,
  type Scope,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { add, broadcastTo, matmul, PeftError, pad, reshape, slice, sum, type Tensor, transpose } from '@peftjs/tensor';
import { type Linear, type Path, viaDense } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';
import { otherFiles } from './other-files.ts';

/** How the shards of W share their update: `balance` has a row for each output, `mini` a few rows in turns, `bat` depends on W. */
export type MissVariant = 'balance' | 'mini' | 'bat';

/** Options of `miss`. */
export interface MissOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Inputs that a shard has, r; no more than the layer has. Default 64. */
  readonly rank?: number;
  /** Default `balance`. */
  readonly variant?: MissVariant;
  /** Outputs after which `mini` repeats itself; they divide the layer's. Default 1. */
  readonly miniRank?: number;
  /** Probability that an input of the update is dropped while training; `bat` has none. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** In files it is the way to begin: `true` for `balance`, and `false`, which only begins elsewhere. */
const variantOption: Option<MissVariant> = {
  key: 'init_weights',
  fallback: () => 'balance',
  expected: 'one of balance, mini, bat',
  accepts: (v) => v === 'balance' || v === 'mini' || v === 'bat',
  toJson: (variant) => (variant === 'balance' ? true : variant),
  fromJson: (value) => (typeof value === 'boolean' ? 'balance' : value),
};

const refused = (path: Path, why: string): PeftError => new PeftError('bad-option', `miss: ${path}: ${why}`);

/** [..., n] repeated to [..., times · n]. */
const repeated = (x: Tensor, times: number): Tensor => {
  const [before, n] = [x.shape.slice(0, -1), x.shape.at(-1)!];
  return reshape(broadcastTo(reshape(x, [...before, 1, n]), [...before, times, n]), [...before, times * n]);
};

/** The sum over the shards of x: [..., in] -> [..., rank]. */
const folded = (x: Tensor, rank: number): Tensor => {
  const width = x.shape.at(-1)!;
  const shards = Math.ceil(width / rank);
  const rest = shards * rank - width;
  const whole = rest > 0 ? pad(x, { axis: -1, before: 0, after: rest }) : x;
  return sum(reshape(whole, [...x.shape.slice(0, -1), shards, rank]), { axes: [-2] });
};

const shared = (base: Linear, own: Scope, path: Path, rank: number, mini: number, dropout: number): Linear => {
  const { inDim, outDim } = base;
  if (rank > inDim) throw refused(path, `rank ${rank} is more than its ${inDim} inputs; give a smaller one`);
  if (outDim % mini !== 0)
    throw refused(path, `miniRank ${mini} does not divide its ${outDim} outputs; give one that does`);
  const block = own.param('miss_block', [rank, mini], zeros);
  return addDelta(base, {
    apply: (x) => repeated(matmul(folded(own.dropout(x, dropout), rank), block), outDim / mini),
    dense: () => {
      const rows = transpose(repeated(block, outDim / mini)); // [out, rank]
      return slice(repeated(rows, Math.ceil(inDim / rank)), { axis: 1, start: 0, end: inDim });
    },
  });
};

/** W + W·B + B in blocks of [rank, rank]; each row of blocks has a B of its own. */
const dependent = (base: Linear, own: Scope, path: Path, rank: number): Linear => {
  const [across, down] = [base.inDim / rank, base.outDim / rank];
  if (!Number.isInteger(across) || !Number.isInteger(down))
    throw refused(path, `rank ${rank} does not divide ${base.outDim} × ${base.inDim}; bat needs one that does`);
  const block = own.param('miss_block', [down, rank, rank], zeros);
  return viaDense(base, ({ weight, bias }) => {
    const turned = matmul(reshape(weight, [down, rank * across, rank]), block);
    const update = add(reshape(turned, [down, rank, across, rank]), reshape(block, [down, rank, 1, rank]));
    return { weight: add(weight, reshape(update, weight.shape)), bias };
  });
};

const card: MethodCard = {
  about: 'one matrix that all shards of a weight share',
  paper: {
    authors: 'Kang & Yin',
    year: 2024,
    title: 'MiSS: Revisiting the Trade-off in LoRA with an Efficient Shard-Sharing Structure',
    url: 'https://arxiv.org/abs/2409.15371',
  },
  learningRate: 1e-3,
  narrowRate: 3.2e-3,
};

/** Bone, the name that MiSS had before: files of Hugging Face PEFT up to 0.17, which its later versions don't read. They have no `mini` and no dropout. */
const bone = otherFiles(card, 'bone', 'BONE', (config) =>
  miss.fromConfig({ ...config, peft_type: 'MISS', ...(config['bias'] === 'Bone_only' && { bias: 'MiSS_only' }) }),
);

/**
 * MiSS: y = Wx + Mᵀ·Σₛ dropout(x)ₛ, the sum over shards of `rank` inputs, the last one filled up with zeros; M [rank, out] is zero at the start, one low-rank matrix that all shards share.
 * `mini` has M [rank, miniRank], repeated over the outputs. `bat`, once Bone: W + W·B + B in blocks of [rank, rank], B [out/rank, rank, rank]; there W′ is formed in
 * each step. Merges. Files of Bone are read too, and written as those of MiSS. Throws `bad-option`, also when attached to a layer whose sizes don't fit, and then `no-match`.
 * Kang & Yin, 2024. https://arxiv.org/abs/2409.15371
 */
export const miss: MethodFactory<MissOptions> = defineMethod<MissOptions>({
  name: 'miss',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 64),
      variant: variantOption,
      miniRank: count('mini_r', 1),
      // Hugging Face PEFT drops nothing in `bat`, whatever its file says.
      dropout: { ...rate('miss_dropout', 0), fromJson: (v, file) => (file['init_weights'] === 'bat' ? 0 : v) },
      bias: biases('MiSS'),
    },
    check: ({ variant, dropout = 0 }) => (variant === 'bat' && dropout > 0 ? 'bat has no dropout; leave it out' : null),
    attach: (model, scope, { target, rank, variant, miniRank, dropout }) =>
      eachLinear(model, scope, target, 'miss', (base, own, path) => {
        if (variant === 'bat') return dependent(base, own, path, rank);
        return shared(base, own, path, rank, variant === 'mini' ? miniRank : base.outDim, dropout);
      }),
  },
  files: {
    peftType: 'MISS',
    also: bone,
    aliases: { bone_block: 'miss_block' },
  },
  card,
});
