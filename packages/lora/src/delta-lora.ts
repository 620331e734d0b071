import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  number,
  type Target,
  type TrainedStep,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { add, less, matmul, mul, select, stopGradient, sub, type Tensor, type Variable } from '@peftjs/tensor';
import type { Path } from '@peftjs/transformer';
import { addDelta } from './add-delta.ts';

/** Options of `deltaLora`. */
export interface DeltaLoraOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rank r of the update. Default 8. */
  readonly rank?: number;
  /** The update is scaled by s = alpha / rank. Default 16. */
  readonly alpha?: number;
  /** λ: the part of a change of s·BA that W gets too. Default 2. */
  readonly ratio?: number;
  /** Steps in which W gets nothing yet. Default 500. */
  readonly start?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/** The tensors of a layer: the factors, those that they were when W began to follow, and how many steps were taken, [1]. */
interface Followed {
  readonly a: Variable;
  readonly b: Variable;
  readonly firstA: Variable;
  readonly firstB: Variable;
  readonly steps: Variable;
}

/** Factors that W does not follow yet are kept anew after every step. */
const keepFirst = (
  layers: ReadonlyMap<Path, Followed>,
  start: number,
  { updated }: TrainedStep,
): (readonly [Variable, Tensor])[] =>
  [...layers.values()].flatMap(({ a, b, firstA, firstB, steps }) => {
    const waits = less(steps, start);
    return [
      [firstA, select(waits, updated(a), firstA)],
      [firstB, select(waits, updated(b), firstB)],
      [steps, add(steps, 1)],
    ] as const;
  });

/**
 * Delta-LoRA: y = W_t·x + s·B_t·A_t·x, LoRA whose steps also change W: W_{t+1} = W_t + λ·s·(B_{t+1}·A_{t+1} − B_t·A_t) from step `start` on, without a gradient of
 * its own. These changes sum up to λ·s·(B_t·A_t − B_K·A_K), K = `start`, so that W itself stays as it is, nothing of its shape is kept or formed, and A_K and B_K are
 * saved beside A [rank, in], from U(−1/√in, 1/√in), and B [out, rank], zero at the start. There is no dropout, as the two paths must see the same input.
 * Merges. Throws as `lora`.
 * Zi et al., 2023. https://arxiv.org/abs/2309.02411. Read were its abstract and summaries of it, which tell the update and λ; the default of
 * `start` is a choice made here.
 */
export const deltaLora: MethodFactory<DeltaLoraOptions> = defineMethod<DeltaLoraOptions>({
  name: 'deltaLora',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rank: count('r', 8),
      alpha: number('lora_alpha', 16),
      ratio: number('delta_ratio', 2),
      start: wholeNumber('start_steps', 500),
      bias: biases('deltaLora'),
    },
    attach: (model, scope, { target, rank, alpha, ratio, start }) => {
      const layers = new Map<Path, Followed>();
      const patch = eachLinear(model, scope, target, 'deltaLora', (base, own, path) => {
        const { inDim, outDim } = base;
        const a = own.param('lora_A', [rank, inDim], kaimingUniform);
        const b = own.param('lora_B', [outDim, rank], zeros);
        const firstA = own.buffer('first_A', [rank, inDim], zeros);
        const firstB = own.buffer('first_B', [outDim, rank], zeros);
        layers.set(path, { a, b, firstA, firstB, steps: own.buffer('steps', [1], zeros) });
        const scale = alpha / rank;
        const through = (x: Tensor, down: Tensor, up: Tensor, factor: number): Tensor =>
          matmul(mul(matmul(x, down, { transposeB: true }), factor), up, { transposeB: true });
        return addDelta(base, {
          apply: (x) => {
            const followed = through(x, stopGradient(a), stopGradient(b), ratio * scale);
            const before = through(x, firstA, firstB, ratio * scale);
            return add(through(x, a, b, scale), sub(followed, before));
          },
          dense: () => {
            const now = matmul(b, a);
            return mul(add(now, mul(sub(now, matmul(firstB, firstA)), ratio)), scale);
          },
        });
      });
      return { ...patch, statistics: (step) => keepFirst(layers, start, step) };
    },
  },
  files: { peftType: 'PEFTJS_DELTA_LORA' },
  card: {
    about: 'low-rank updates whose changes the weights follow',
    paper: {
      authors: 'Zi et al.',
      year: 2023,
      title: 'Delta-LoRA: Fine-Tuning High-Rank Parameters with the Delta of Low-Rank Matrices',
      url: 'https://arxiv.org/abs/2309.02411',
    },
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
