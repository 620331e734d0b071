import {
  defineMethod,
  eachLinear,
  eachNorm,
  flag,
  type MethodFactory,
  ones,
  type Target,
  targets,
  trainedNorm,
  zeros,
} from '@peftjs/core';
import { add, mul, reshape } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';

/** Options of `llamaAdapterV2`. */
export interface LlamaAdapterV2Options {
  /** Which linear layers have a scale and a bias. Default: all but the output head. */
  readonly target?: Target;
  /** Whether the norms inside the layers are trained too. Default true. */
  readonly norms?: boolean;
}

/** The norms that lie in layers; not the one behind the last. */
const normsInLayers = (model: Model): string[] => {
  const blocks = model.paths('block');
  return [...model.norms.keys()].filter((path) => blocks.some((block) => path.startsWith(`${block}.`)));
};

/**
 * LLaMA-Adapter V2's tuning of bias, scale and norm: y = W(s⊙x) + b₀ + b in every linear layer, s [in] ones and b [out] zeros at the start, so at first the base; the norms inside the layers are
 * trained too, from the base's values. It is the authors' code, which scales a layer's input. Its prompts behind gates are `llamaAdapter`, which one may
 * attach beside it. Merges. Throws `bad-option`, and when attached `no-match`.
 * Gao et al., 2023. https://arxiv.org/abs/2304.15010, as https://github.com/OpenGVLab/LLaMA-Adapter, llama_adapter_v2_chat65b/llama/model.py, `Llama65B_bias_scale_norm_tuning`.
 */
export const llamaAdapterV2: MethodFactory<LlamaAdapterV2Options> = defineMethod<LlamaAdapterV2Options>({
  name: 'llamaAdapterV2',
  formula: {
    merges: true,
    options: { target: targets('target_modules', 'all-linear'), norms: flag('train_norm', true) },
    attach: (model, scope, { target, norms }) => {
      const inLayers = norms ? normsInLayers(model) : [];
      return {
        ...eachLinear(model, scope, target, 'llamaAdapterV2', (base, own) => {
          const scale = own.param('added_scale', [base.inDim], ones);
          const shift = own.param('added_bias', [base.outDim], zeros);
          return {
            ...base,
            apply: (x, call) => add(base.apply(mul(x, scale), call), shift),
            dense: () => {
              const { weight, bias } = base.dense();
              return { weight: mul(weight, reshape(scale, [1, -1])), bias: bias ? add(bias, shift) : shift };
            },
          };
        }),
        ...(inLayers.length > 0 &&
          eachNorm(model, scope, inLayers, 'llamaAdapterV2', (base, own) => trainedNorm(base, own, 'norm_'))),
      };
    },
  },
  files: { peftType: 'PEFTJS_LLAMA_ADAPTER_V2' },
  card: {
    about: 'a scale of every input, a shift of every output, and the norms',
    paper: {
      authors: 'Gao et al.',
      year: 2023,
      title: 'LLaMA-Adapter V2: Parameter-Efficient Visual Instruction Model',
      url: 'https://arxiv.org/abs/2304.15010',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
