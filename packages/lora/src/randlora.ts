import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  filled,
  flag,
  type HostInit,
  type MethodFactory,
  number,
  rate,
  type Target,
  targeted,
  targets,
  zeros,
} from '@peftjs/core';
import { matmul, mul, type Random, reshape, sizeOf, type Tensor } from '@peftjs/tensor';
import { addDelta } from './add-delta.ts';
import { fanInFanOut } from './peft-config.ts';
import { first } from './shared-projections.ts';

/** Options of `randlora`. */
export interface RandloraOptions {
  /** Default: what Hugging Face PEFT adapts in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of each random basis; the smaller, the more of them and of what is trained. Default 32. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 640. */
  readonly alpha?: number;
  /** Whether the bases hold −1, 0 and 1 alone, a third of them not zero. Default false. */
  readonly sparse?: boolean;
  /** The same with 1/√d of them not zero, d the smaller side of the bases. Default false. */
  readonly verySparse?: boolean;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** −1 and 1 with a share of 1/(2·s) each, or U(−1, 1) without s. */
const draw = (random: Random, s: number | null): number => {
  const u = random();
  if (s === null) return 2 * u - 1;
  if (u < 1 / (2 * s)) return -1;
  return u > 1 - 1 / (2 * s) ? 1 : 0;
};

/** The nearest value of 16 bits (bfloat16), as Hugging Face PEFT holds the bases. */
const inHalf = (value: number): number => {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = ((bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000) >>> 0;
  return new Float32Array(bits.buffer)[0]!;
};

/** Values divided by their standard deviation. */
const bases =
  (s: number | null): HostInit =>
  (shape, random) => {
    const values = Float32Array.from({ length: sizeOf(shape) }, () => draw(random, s));
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const spread = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, values.length - 1)) || 1;
    return values.map((v) => inHalf(v / spread));
  };

/**
 * RandLoRA: y = Wx + (alpha/rank)·ΔW·dropout(x) with ΔW = Σⱼ Bⱼ·Λⱼ·A·Γⱼ, or its transpose where the layer has more inputs than outputs: n random bases, together of full rank. A [rank, 1, d]
 * and B [D, n, rank] are random, frozen and shared by all layers, which take what they need of them; trained are Λ [rank, n], zero at first, and Γ [n, d], 1/max(n, d) at
 * first, d the smaller side of the layer and n = d/rank, rounded up. The bases are saved with the adapter, as other random generators than ours would draw others. Nothing of shape [out, in] is
 * formed, but two products of inner size n·rank ≈ d. Merges. Throws `bad-option`, and when attached `no-match`.
 * Albert et al., 2025. https://arxiv.org/abs/2502.00987
 */
export const randlora: MethodFactory<RandloraOptions> = defineMethod<RandloraOptions>({
  name: 'randlora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 32),
      alpha: number('randlora_alpha', 640),
      sparse: flag('sparse', false),
      verySparse: flag('very_sparse', false),
      dropout: rate('randlora_dropout', 0),
      bias: biases('randlora'),
    },
    attach: (model, scope, { target, rank, alpha, sparse, verySparse, dropout }) => {
      const layers = targeted(model.linears.keys(), target, 'randlora').map((path) => model.linears.get(path)!);
      const sides = [Math.max(...layers.map((l) => l.inDim)), Math.max(...layers.map((l) => l.outDim))];
      const [least, most] = [Math.min(...sides), Math.max(...sides)];
      const init = bases(verySparse ? Math.sqrt(least) : sparse ? 3 : null);
      const sharedA = scope.buffer('randlora_A', [rank, 1, least], init);
      const sharedB = scope.buffer('randlora_B', [most, Math.ceil(least / rank), rank], init);
      return eachLinear(model, scope, target, 'randlora', (base, own) => {
        const [small, large] = [Math.min(base.inDim, base.outDim), Math.max(base.inDim, base.outDim)];
        const n = Math.ceil(small / rank);
        const lambda = own.param('randlora_lambda', [rank, n], zeros);
        const gamma = own.param('randlora_gamma', [n, small], filled(1 / Math.max(n, small)));
        const wide = reshape(first(first(sharedB, 0, large), 1, n), [large, n * rank]);
        /** [rank·n, d] */
        const narrow = (): Tensor =>
          reshape(mul(mul(first(sharedA, 2, small), reshape(lambda, [rank, n, 1])), gamma), [rank * n, small]);
        const scale = alpha / rank;
        return addDelta(base, {
          apply: (x) => {
            const kept = own.dropout(x, dropout);
            if (base.inDim === small)
              return matmul(mul(matmul(kept, narrow(), { transposeB: true }), scale), wide, { transposeB: true });
            return matmul(mul(matmul(kept, wide), scale), narrow());
          },
          dense: () => {
            if (base.inDim === small) return mul(matmul(wide, narrow()), scale);
            return mul(matmul(narrow(), wide, { transposeA: true, transposeB: true }), scale);
          },
        });
      });
    },
  },
  files: {
    peftType: 'RANDLORA',
    refuses: ({ save_projection: saved }) =>
      saved === false
        ? 'save_projection is false, so the bases are not in the file, and they are not drawn here as torch draws them; save it with save_projection=True'
        : null,
    config: (model) => ({
      ...fanInFanOut(model),
      init_weights: true,
      projection_prng_key: 0,
      save_projection: true,
    }),
    repeated: ['randlora_A', 'randlora_B'],
    keys: { randlora_A: 'base_model.randlora_A', randlora_B: 'base_model.randlora_B' },
  },
  card: {
    about: 'scales of shared random bases of full rank',
    paper: {
      authors: 'Albert et al.',
      year: 2025,
      title: 'RandLoRA: Full-rank parameter-efficient fine-tuning of large models',
      url: 'https://arxiv.org/abs/2502.00987',
    },
    learningRate: 1e-4,
    narrowRate: 1e-3,
  },
});
