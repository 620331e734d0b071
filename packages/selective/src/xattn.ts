import { defineMethod, eachLinear, type MethodFactory, type Target, targets } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { wholeLayer } from './masked/whole-layer.ts';

/** Options of `xattn`. */
export interface XattnOptions {
  /** Default: the projections of every cross-attention. */
  readonly target?: Target;
}

/** The linear layers of cross-attentions. Throws `no-match` for a model without any. */
const crossLayers = (model: Model): Path[] => {
  const sites = model.paths('cross');
  const found = [...model.linears.keys()].filter((path) => sites.some((site) => path.startsWith(`${site}.`)));
  if (found.length > 0) return found;
  throw new PeftError(
    'no-match',
    `xattn: ${model.layout.modelType} has no cross-attention; it is for models of an encoder and a decoder`,
  );
};

/**
 * Cross-attention tuning: W' = W + Δ for the projections of the decoder's attention to the encoder, and nothing else; Δ [out, in] is trained, from 0, and saved whole. Rows of embeddings for a new
 * language are trained beside by `modulesToSave`. Merges. Throws `bad-option`, and when attached `no-match`, also for a model without cross-attention.
 * Gheini, Ren & May, 2021. https://arxiv.org/abs/2104.08771. Its abstract was read; whether the norm before it is trained too is not said there, and it is not here.
 */
export const xattn: MethodFactory<XattnOptions> = defineMethod<XattnOptions>({
  name: 'xattn',
  formula: {
    merges: true,
    options: { target: targets('target_modules', crossLayers) },
    attach: (model, scope, { target }) =>
      eachLinear(model, scope, target, 'xattn', (base, own) => wholeLayer(base, own).layer),
  },
  files: { peftType: 'PEFTJS_XATTN' },
  card: {
    about: "the decoder's attention to the encoder",
    paper: {
      authors: 'Gheini, Ren & May',
      year: 2021,
      title: 'Cross-Attention is All You Need: Adapting Pretrained Transformers for Machine Translation',
      url: 'https://arxiv.org/abs/2104.08771',
    },
    learningRate: 3e-5,
  },
});
