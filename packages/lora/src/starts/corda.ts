import { defineMethod, eachLinear, familyTarget, type MethodFactory, oneOf, targets } from '@peftjs/core';
import { evaluate } from '@peftjs/tensor';
import { type LoraOptions, loraOptions, rankAndScaleOf } from '../low-rank.ts';
import { refusedInLora } from '../peft-config.ts';
import { variantConfig } from '../variant-files.ts';
import { startOf } from '../variant-of.ts';
import { begunWith, requireRank } from './begun-with.ts';
import { type FirstByPath, type FirstFactors, factorsIn, firstByPath, givenFor } from './given.ts';
import { ordinary } from './ordinary.ts';

/** The part of W that is trained: that which matters most to the examples (instruction-previewed), or least (knowledge-preserved). */
export type CordaMode = 'ipm' | 'kpm';

/** Options of `corda`. */
export interface CordaOptions extends LoraOptions {
  /** Default `ipm`. */
  readonly mode?: CordaMode;
  /** First values, as `prepare` finds them. */
  readonly first?: FirstByPath;
}

/**
 * CorDA: y = (W − s·B₀A₀)x + s·B·A·dropout(x), s = alpha/r, where B and A begin as B₀ = U·diag(√(σ/s)) and A₀ = diag(√(σ/s))·Vᵀ·C⁻¹ with r singular values σ of W·C, C the mean over examples of XᵀX of the layer's
 * inputs, each example divided by its largest value: the model begins as it was. `prepare` looks at the examples: C is summed on the executor, layers are decomposed whole on the host in f64 (up to a minute at a side of 768, eight times that at twice the side). Saved as an ordinary LoRA of
 * rank 2r, s·(BA − B₀A₀), which any loader takes. Merges. Throws as `lora`, and when attached `bad-option` before `prepare` and for ranks above a weight's.
 * Yang et al., 2024. https://arxiv.org/abs/2406.05223. As Hugging Face PEFT's `preprocess_corda` has it.
 */
export const corda: MethodFactory<CordaOptions> = defineMethod<CordaOptions>({
  name: 'corda',
  formula: {
    merges: true,
    options: {
      ...loraOptions,
      target: targets('target_modules', familyTarget('lora')),
      mode: oneOf('corda_config.corda_method', ['ipm', 'kpm'], 'ipm'),
      first: firstByPath,
    },
    prepare: async (model, options, look) => {
      const [{ eachInputs }, { cordaOf }, { Matrix }] = await Promise.all([
        import('./collected.ts'),
        import('../algebra/corda.ts'),
        import('ml-matrix'),
      ]);
      const first: Record<string, FirstFactors> = {};
      const paths = options.target as readonly string[];
      await eachInputs('corda', model, paths, look, { normalized: true }, async (path, { products }, examples) => {
        const layer = model.linears.get(path)!;
        const { inDim, outDim } = layer;
        const { rank, scale } = rankAndScaleOf(path, options);
        const { weight } = await evaluate({ weight: layer.dense().weight }, { executor: look.executor });
        const covariance = Matrix.from1DArray(inDim, inDim, products).div(examples);
        const w = Matrix.from1DArray(outDim, inDim, weight!);
        requireRank('corda', path, layer, rank);
        first[path] = factorsIn(cordaOf(w, covariance, rank, scale, options.mode));
      });
      return { first };
    },
    compact: (model, options, state, on) => ordinary(model, corda(options), state, on),
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'corda', (base, own, path) =>
        begunWith('corda', base, own, path, options, () => givenFor('corda', options.first, path)),
      ),
  },
  files: {
    peftType: 'LORA',
    // What is saved is an ordinary LoRA; Hugging Face PEFT's own files are told how to become one.
    reads: (config) => startOf(config) === 'corda',
    refuses: (config) => refusedInLora(config),
    config: (model) => ({ ...variantConfig(model, {} as never), init_lora_weights: 'corda' }),
  },
  card: {
    about: 'low-rank updates that begin with what matters most, or least, to examples',
    paper: {
      authors: 'Yang et al.',
      year: 2024,
      title: 'CorDA: Context-Oriented Decomposition Adaptation of Large Language Models',
      url: 'https://arxiv.org/abs/2406.05223',
    },
    learningRate: 2e-5,
    narrowRate: 3.2e-3,
  },
});
