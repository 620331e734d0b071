import { type Chosen, count, defineMethod, type MethodFactory, normal, type Option, zeros } from '@peftjs/core';
import { type Tensor, tanh } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import { adapterHubPrefixTuning } from './adapter-hub-prefix-tuning.ts';
import { affineOf, computedRows, rowsName, type TensorsOf } from './encoder.ts';
import {
  activations,
  checkSubmodules,
  keyWidth,
  ownAttentions,
  peftPairs,
  prefixInFront,
  prefixSubmodules,
  prefixWidth,
} from './prefix.ts';
import { promptComputes, promptConfig } from './soft-prompt.ts';
import { initOf, isTextInit, type RowInit } from './vocabulary.ts';

/** Options of `prefixTuning`. */
export interface PrefixTuningOptions {
  /** Rows m in front of every layer's keys and values. Default 20. */
  readonly length?: number;
  /** Width of the MLP that computes the rows of all layers while training; null (default) trains the rows themselves. The paper has 512. */
  readonly bottleneck?: number | null;
  /**
   * First values of the rows: `vocabulary` (default), the model's own keys and values for tokens drawn at random, which one of pictures has not; `{ text: ids }`, for
   * those of a text, repeated or cut to m; `random`, N(0, 1), there the default; `zeros`. An MLP starts at `random` (default) or with `zeros`.
   */
  readonly init?: RowInit | 'zeros' | null;
  /** For how many towers the file says that the prefix is: 2 in an encoder-decoder, else 1, as is the default. */
  readonly submodules?: number;
}

const initOption: Option<RowInit | 'zeros' | null> = {
  key: 'init_weights',
  fallback: () => null,
  expected: "'random', 'vocabulary', 'zeros' or { text: token ids }",
  accepts: (v) => v === null || v === 'random' || v === 'vocabulary' || v === 'zeros' || isTextInit(v),
  toJson: (init) => (init === 'zeros' ? 'zero' : null),
  fromJson: () => 'zeros',
};

const bottleneckOption: Option<number | null> = {
  key: null, // a file holds the rows, however they were trained
  fallback: () => null,
  expected: `null or ${count(null, 1).expected}`,
  accepts: (v) => v === null || count(null, 1).accepts(v),
};

interface Mlp {
  readonly length: number;
  readonly bottleneck: number;
  readonly zero: boolean;
}

/** [m, out] from m learned embeddings of `width`: Linear, tanh, Linear, shared by all layers. */
const mlpRows =
  ({ length, bottleneck, zero }: Mlp, width: number, out: number) =>
  (tensors: TensorsOf): Tensor => {
    const first = tensors('prompt_encoder.embedding.weight', [length, width], normal(1));
    const inner = tanh(affineOf(tensors, 'prompt_encoder.transform.0', first, bottleneck));
    return affineOf(tensors, 'prompt_encoder.transform.2', inner, out, zero ? zeros : undefined);
  };

const encoderOf = (model: Model, { length, bottleneck, init }: Chosen<PrefixTuningOptions>) =>
  bottleneck === null
    ? null
    : mlpRows(
        { length, bottleneck, zero: init === 'zeros' },
        keyWidth(model.main),
        prefixWidth(ownAttentions(model, 'prefixTuning')),
      );

/**
 * Prefix tuning: in every layer Attn(q, [P_k; k], [P_v; v]) with m trained keys and values of the heads' size before those of the tokens,
 * whose positions count them. With a `bottleneck` they come from an MLP of m embeddings, shared by the layers, which is dropped when
 * saved. Without one this is P-tuning v2 (Liu et al., 2021. https://arxiv.org/abs/2110.07602). Files are Hugging Face PEFT's; those of
 * the adapters library are read too, as `adapterHubPrefixTuning`.
 * In an encoder-decoder the decoder alone has the prefix, before its own tokens, as in PEFT 0.21.2, whose `get_prompt` gives the layers keys and values in an odd order: layer i of L has those of
 * number 2i mod L. So with an even L half of what is trained and saved is never read, and two layers share each of the rest; it is so here too, as the files would else be another function there.
 * `adapterHubPrefixTuning` has them apart, and in the encoder too.
 * Does not merge. Throws `bad-option`, also when attached, for a text of tokens that the model does not have.
 * Li & Liang, 2021. https://arxiv.org/abs/2101.00190
 */
export const prefixTuning: MethodFactory<PrefixTuningOptions> = defineMethod<PrefixTuningOptions>({
  name: 'prefixTuning',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 20),
      bottleneck: bottleneckOption,
      init: initOption,
      submodules: prefixSubmodules,
    },
    check: ({ bottleneck, init }) =>
      bottleneck && init && init !== 'random' && init !== 'zeros'
        ? 'with a bottleneck init is random or zeros, as its MLP cannot begin at given keys and values'
        : null,
    compact: async (model, options, state, { executor }) => {
      const encode = encoderOf(model, options);
      if (!encode) return { method: prefixTuning(options), state };
      return { method: prefixTuning({ length: options.length }), state: await computedRows(encode, state, executor) };
    },
    attach: (model, scope, options) => {
      const { length, init, submodules } = options;
      const own = ownAttentions(model, 'prefixTuning');
      checkSubmodules(model, 'prefixTuning', submodules);
      const pairOf = peftPairs(model, own);
      const usual = model.main.tokenTable === null ? 'random' : 'vocabulary';
      const first =
        init === 'zeros' ? zeros : initOf(init ?? usual, model, length, (ids) => activations(model, own, ids, pairOf));
      const rows = encoderOf(model, options)?.(scope.param) ?? scope.param(rowsName, [length, prefixWidth(own)], first);
      return { ...prefixInFront(own, scope, rows, { pairOf }), positionShift: length };
    },
  },
  files: {
    peftType: 'PREFIX_TUNING',
    also: adapterHubPrefixTuning,
    computes: promptComputes,
    config: (model, { bottleneck }) => ({
      ...promptConfig(model, keyWidth(model.main), model.main.keyHeads),
      prefix_projection: bottleneck !== null,
      encoder_hidden_size: bottleneck ?? keyWidth(model.main),
    }),
    keys: { [rowsName]: rowsName },
  },
  card: {
    about: "keys and values in front of every layer's",
    paper: adapterHubPrefixTuning.paper,
    learningRate: 3e-2,
    narrowRate: 0.1,
  },
});
