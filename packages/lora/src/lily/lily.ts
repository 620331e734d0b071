import {
  count,
  countedRows,
  defineMethod,
  eachLinear,
  kaimingUniform,
  type MethodFactory,
  noWeight,
  number,
  type Target,
  targeted,
  zeros,
} from '@peftjs/core';
import { add, div, matmul, maximum, mean, mul, reshape, softmax, sum, type Tensor } from '@peftjs/tensor';
import type { Call } from '@peftjs/transformer';
import { copiesFor, ownersOf, type Sharing, sharedTarget, sharingOption } from './sharing.ts';

/** Options of `lily`. */
export interface LilyOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r, two to four times that of a LoRA. Default 32. */
  readonly rank?: number;
  /** Neighbours that share one A, among layers of one name. Default 1: each has its own. */
  readonly stride?: number;
  /** Matrices B that all layers of one name share, at least 2. Default 2. */
  readonly experts?: number;
  /** The update is scaled by it. Default 1. */
  readonly scale?: number;
  /** Which layers share. Default `name`. */
  readonly sharing?: Sharing;
}

/** The mean over all tokens that padding does not hide: [..., experts] -> [1, experts]. */
const meanShare = (shares: Tensor, call: Call): Tensor => {
  const experts = shares.shape.at(-1)!;
  const counted = shares.shape.length === 3 ? countedRows(shares, call) : null;
  if (!counted) return mean(reshape(shares, [-1, experts]), { axes: [0], keepDims: true });
  const total = sum(reshape(mul(shares, counted), [-1, experts]), { axes: [0], keepDims: true });
  return div(total, maximum(sum(counted), 1));
};

/**
 * Lily: y = Wx + scale·(Σₑ p̄ₑ·Bₑ)·A·x with p̄ the mean of softmax(R·A·x) over all tokens of a batch, so that every token sees the others. A [r, in] is shared by `stride` neighbours among
 * the layers of one name and size, the B [experts·r, out] by all of them; the router R [experts, r] is each layer's own. A and R are from U(−1/√in, 1/√in), the B zero at the start. As it is a mean, a text's
 * result depends on those beside it; not on padding, which Hugging Face PEFT counts as tokens. Files hold A and B again for each layer; where a target's names would share other layers in PEFT, they
 * hold full paths, and no layers share once loaded. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Zhong, Zhao & Zhou, 2025. https://arxiv.org/abs/2407.09946
 */
export const lily: MethodFactory<LilyOptions> = defineMethod<LilyOptions>({
  name: 'lily',
  formula: {
    merges: false,
    options: {
      target: sharedTarget,
      rank: count('r', 32),
      stride: count('stride_A', 1),
      experts: count('num_B', 2),
      scale: number('scaling', 1),
      sharing: sharingOption,
    },
    check: ({ experts = 2 }) => (experts < 2 ? `experts must be at least 2 for a router, got ${experts}` : null),
    attach: (model, scope, { target, rank, stride, experts, scale, sharing }) => {
      const owners = ownersOf(targeted(model.linears.keys(), target, 'lily'), model.linears, sharing, stride);
      return eachLinear(model, scope, target, 'lily', (base, own, path) => {
        const { inDim, outDim } = base;
        const { a: ownerOfA, b: ownerOfB } = owners.get(path)!;
        const a = scope.at(ownerOfA).param('lily_A.weight', [rank, inDim], kaimingUniform);
        const b = scope.at(ownerOfB).param('lily_B.weight', [experts * rank, outDim], zeros);
        const router = own.param('lily_router.weight', [experts, rank], kaimingUniform);
        return {
          ...base,
          acrossRows: true,
          apply: (x, call) => {
            const low = matmul(x, a, { transposeB: true }); // [..., rank]
            const shares = softmax(matmul(low, router, { transposeB: true })); // [..., experts]
            const mixed = matmul(meanShare(shares, call), reshape(b, [experts, rank * outDim]));
            return add(base.apply(x, call), matmul(mul(low, scale), reshape(mixed, [rank, outDim])));
          },
          dense: noWeight('lily', path, 'depends on its input'),
        };
      });
    },
  },
  files: {
    peftType: 'LILY',
    config: () => ({ init_weights: true }),
    repeated: ['lily_A.weight', 'lily_B.weight'],
    copies: ({ linears }, { sharing, stride }, names) => {
      const router = '.lily_router.weight';
      const paths = names.flatMap((name) => (name.endsWith(router) ? [name.slice(0, -router.length)] : []));
      return copiesFor(ownersOf(paths, linears, sharing, stride));
    },
  },
  card: {
    about: 'low-rank updates whose halves layers share, weighed by the batch',
    paper: {
      authors: 'Zhong, Zhao & Zhou',
      year: 2025,
      title: 'Low-Rank Interconnected Adaptation across Layers',
      url: 'https://arxiv.org/abs/2407.09946',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
