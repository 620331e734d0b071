import { defineMethod, eachLinear, familyTarget, type MethodFactory, oneOf, positive, targets } from '@peftjs/core';
import { evaluate } from '@peftjs/tensor';
import { type LoraOptions, loraOptions, rankAndScaleOf } from '../low-rank.ts';
import { refusedInLora } from '../peft-config.ts';
import { variantConfig } from '../variant-files.ts';
import { startOf } from '../variant-of.ts';
import { begunWith, requireRank } from './begun-with.ts';
import { type FirstByPath, type FirstFactors, factorsIn, firstByPath, givenFor } from './given.ts';
import { ordinary } from './ordinary.ts';

/** Which of the 2r largest singular directions of the gradient A and B take: of A and of B those before and behind r, or in turns. */
export type LoraGaDirection = 'ArB2r' | 'A2rBr' | 'ArBr';

/** The lengths of A and B: B times out^¼/√γ; B as long as the weight's largest singular value; both divided by s; as they are. */
export type LoraGaScale = 'stable' | 'weight_svd' | 'gd_scale' | 'unit';

/** Options of `loraGa`. */
export interface LoraGaOptions extends LoraOptions {
  /** Default `ArB2r`. */
  readonly direction?: LoraGaDirection;
  /** Default `stable`. */
  readonly firstScale?: LoraGaScale;
  /** γ of `stable`. Default 16. */
  readonly gamma?: number;
  /** First values, as `prepare` finds them. */
  readonly first?: FirstByPath;
}

/**
 * LoRA-GA: y = (W − s·B₀A₀)x + s·B·A·dropout(x), s = alpha/r, where B and A begin as B₀ and A₀, singular directions of the loss's gradient by W over examples, B₀ times their singular values, so that the first steps are
 * close to those of W itself: the model begins as it was. `prepare` looks at the examples: gradients are summed on the executor, and decomposed on the host in f64. Saved as an ordinary LoRA of rank 2r, s·(BA − B₀A₀), which
 * any loader takes. Merges. Throws as `lora`, and when attached `bad-option` before `prepare` and for ranks above half of a weight's.
 * Wang, Yu & Li, 2024. https://arxiv.org/abs/2407.05000. As Hugging Face PEFT has it, but for its random choice of directions.
 */
export const loraGa: MethodFactory<LoraGaOptions> = defineMethod<LoraGaOptions>({
  name: 'loraGa',
  formula: {
    merges: true,
    options: {
      ...loraOptions,
      target: targets('target_modules', familyTarget('lora')),
      direction: oneOf('lora_ga_config.direction', ['ArB2r', 'A2rBr', 'ArBr'], 'ArB2r'),
      firstScale: oneOf('lora_ga_config.scale', ['stable', 'weight_svd', 'gd_scale', 'unit'], 'stable'),
      gamma: positive('lora_ga_config.stable_gamma', 16),
      first: firstByPath,
    },
    prepare: async (model, options, look) => {
      const [{ eachGradient }, { gradientFactors }, { Matrix }] = await Promise.all([
        import('@peftjs/core/collect'),
        import('../algebra/gradient-factors.ts'),
        import('ml-matrix'),
      ]);
      const first: Record<string, FirstFactors> = {};
      const paths = options.target as readonly string[];
      await eachGradient('loraGa', model, paths, look, async (path, gradient) => {
        const layer = model.linears.get(path)!;
        const { inDim, outDim } = layer;
        const { rank, scale } = rankAndScaleOf(path, options);
        requireRank('loraGa', path, layer, 2 * rank);
        const weight = async () => {
          const { w } = await evaluate({ w: layer.dense().weight }, { executor: look.executor });
          return Matrix.from1DArray(outDim, inDim, w!);
        };
        const mean = Matrix.from1DArray(outDim, inDim, gradient).div(look.data.length);
        first[path] = factorsIn(await gradientFactors(mean, weight, { ...options, rank, scale }));
      });
      return { first };
    },
    compact: (model, options, state, on) => ordinary(model, loraGa(options), state, on),
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'loraGa', (base, own, path) =>
        begunWith('loraGa', base, own, path, options, () => givenFor('loraGa', options.first, path)),
      ),
  },
  files: {
    peftType: 'LORA',
    // What is saved is an ordinary LoRA; Hugging Face PEFT's own files are told how to become one.
    reads: (config) => startOf(config) === 'lora_ga',
    refuses: (config) => refusedInLora(config),
    config: (model) => ({ ...variantConfig(model, {} as never), init_lora_weights: 'lora_ga' }),
  },
  card: {
    about: 'low-rank updates that begin with directions of the gradient',
    paper: {
      authors: 'Wang, Yu & Li',
      year: 2024,
      title: 'LoRA-GA: Low-Rank Adaptation with Gradient Approximation',
      url: 'https://arxiv.org/abs/2407.05000',
    },
    learningRate: 5e-5,
    narrowRate: 1e-2,
  },
});
