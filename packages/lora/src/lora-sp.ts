import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  flag,
  kaimingUniform,
  type MethodFactory,
  number,
  type Projection,
  type ProjectionStep,
  rate,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { cast, less, matmul, mul, randomUniform, reshape, select, type Tensor, type Variable } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';
import { randomMasks } from './sample-places.ts';

/** Options of `loraSp`. */
export interface LoraSpOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the update. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default 8. */
  readonly alpha?: number;
  /** The share of the entries of A and B that a step may move. Default 0.5. */
  readonly share?: number;
  /** Whether every step draws which entries anew. Default false: they are drawn once. */
  readonly redraw?: boolean;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** The factors of a layer, and their masks; none where each step draws them. */
interface Halves {
  readonly factors: readonly Variable[];
  readonly masks: readonly Variable[];
}

/** The number of the step, as a seed of what it draws. */
const seedOf = ({ feed }: ProjectionStep): Tensor =>
  cast(
    feed('seed', [], (step) => Float32Array.of(step)),
    { dtype: 'u32' },
  );

/** Entries that a step may not move stay as they were before it. */
const held =
  (layers: ReadonlyMap<Path, Halves>, share: number, redraw: boolean): Projection =>
  (updated, step) => {
    const seed = redraw ? seedOf(step) : null;
    return [...layers.values()].flatMap(({ factors, masks }, layer) =>
      factors.map((factor, i) => {
        const { shape } = factor;
        const moves = seed
          ? less(randomUniform(seed, shape, 2 * layer + i), share)
          : reshape(cast(masks[i]!, { dtype: 'f32' }), shape);
        return [factor, select(moves, updated(factor), factor)] as const;
      }),
    );
  };

/**
 * LoRA-SP: y = Wx + (alpha/r)·B·A·dropout(x), LoRA of which a step moves a share of the entries of A [rank, in] and B [out, rank] alone, by default half, drawn at
 * random once or, with `redraw`, in every step. The others stay as they were before the step, weight decay and momentum notwithstanding; they are still
 * part of the function. A is from U(−1/√in, 1/√in), B zero at the start. Masks that are drawn once are saved with the adapter, a byte an entry. Merges.
 * Throws as `lora`.
 * Wu, Xiang, Huo, Gong & Liang, 2024. https://arxiv.org/abs/2403.08822. Read were its abstract and summaries, which tell differently whether the choice is
 * made once or in each step; no code was published.
 */
export const loraSp: MethodFactory<LoraSpOptions> = defineMethod<LoraSpOptions>({
  name: 'loraSp',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      alpha: number('lora_alpha', 8),
      share: rate('share', 0.5),
      redraw: flag('redraw', false),
      dropout: rate('lora_dropout', 0),
      bias: biases('loraSp'),
    },
    check: ({ share = 0.5 }) => (share > 0 ? null : `share ${share} leaves nothing to train`),
    attach: (model, scope, { target, rank, alpha, share, redraw, dropout }) => {
      const layers = new Map<Path, Halves>();
      const patch = eachLinear(model, scope, target, 'loraSp', (base, own, path) => {
        const a = own.param('lora_A', [rank, base.inDim], kaimingUniform);
        const b = own.param('lora_B', [base.outDim, rank], zeros);
        const maskOf = (name: string, { shape }: Variable): Variable =>
          own.buffer(name, [1, ...shape], randomMasks(share), 'u8');
        layers.set(path, {
          factors: [a, b],
          masks: redraw ? [] : [maskOf('lora_A_mask', a), maskOf('lora_B_mask', b)],
        });
        const scale = alpha / rank;
        return addDelta(base, {
          apply: (x) => {
            const low = matmul(own.dropout(x, dropout), a, { transposeB: true }); // [..., rank]
            return matmul(mul(low, scale), b, { transposeB: true });
          },
          dense: () => mul(matmul(b, a), scale),
        });
      });
      return { ...patch, project: held(layers, share, redraw) };
    },
  },
  files: { peftType: 'PEFTJS_LORA_SP' },
  card: {
    about: 'low-rank updates of which a step moves a part',
    paper: {
      authors: 'Wu et al.',
      year: 2024,
      title:
        'LoRA-SP: Streamlined Partial Parameter Adaptation for Resource-Efficient Fine-Tuning of Large Language Models',
      url: 'https://arxiv.org/abs/2403.08822',
    },
    learningRate: 2e-4,
    narrowRate: 3.2e-2,
  },
});
