import type { MethodFactory } from '@peftjs/core';
import { defineHyperformer, type HyperformerOptions } from './define-hyperformer.ts';

const own = {
  name: 'hyperformer',
  peftType: 'PEFTJS_HYPERFORMER',
  shared: false,
  about: "networks that make each layer's adapters, of tasks and layers",
} as const;

const plusPlus = {
  name: 'hyperformerPlusPlus',
  peftType: 'PEFTJS_HYPERFORMER_PLUS_PLUS',
  shared: true,
  about: 'the same, one network for adapters after attention and after the MLP',
} as const;

/**
 * HyperFormer: after attention and after the MLP y ← y + LN(U·gelu(D·y + b_D) + b_U), an adapter whose D [r, d], U [d, r], biases, and weight and bias of its norm are all made by linear networks that the layers of a tower share, of e = LN(h(z_t; l_i)): z_t is a trained embedding
 * of the example's task, l_i one of the layer, both from N(0, 1), h(v) = W₂·relu(W₁v + b₁) + b₂. Weights are from N(0, 0.01²), biases 0, so that it begins near the identity. gelu is that of tanh; r = d / `reduction`, at least 1.
 * Each example says its task in the column `task` (i32, from 0); `hyperformerFor(task)` is for one of them alone. In an encoder-decoder each tower has networks of its own, and cross-attention has no adapter. The authors also train the base's norms: `combine` it with `layerNormTuning`.
 * Files have a layout of our own. Does not merge. Throws `bad-option`.
 * Karimi Mahabadi, Ruder, Dehghani & Henderson, 2021. https://arxiv.org/abs/2106.04489 By the authors' code, https://github.com/rabeehk/hyperformer, hyperformer/adapters/adapter_modeling.py and configs/hyperformer.json.
 */
export const hyperformer: MethodFactory<HyperformerOptions> = defineHyperformer(own, null);

/** `hyperformer` for inputs of one task, which need no column `task`: to generate with an adapter of several, `load(model, dir, [hyperformerFor(2)])`. */
export const hyperformerFor = (task: number): MethodFactory<HyperformerOptions> => defineHyperformer(own, task);

/**
 * HyperFormer++: `hyperformer` with one set of generators for both places; e = LN(h(z_t; l_i; p_j)), p_j a trained embedding of the place. `hyperformerPlusPlusFor(task)` is for one task alone. Throws `bad-option`.
 * Karimi Mahabadi, Ruder, Dehghani & Henderson, 2021. https://arxiv.org/abs/2106.04489 By the authors' code, configs/hyperformer++.json.
 */
export const hyperformerPlusPlus: MethodFactory<HyperformerOptions> = defineHyperformer(plusPlus, null);

/** `hyperformerPlusPlus` for inputs of one task, which need no column `task`. */
export const hyperformerPlusPlusFor = (task: number): MethodFactory<HyperformerOptions> =>
  defineHyperformer(plusPlus, task);
