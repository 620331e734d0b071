import { count, defineMethod, type MethodFactory, normal, type Option } from '@peftjs/core';
import { relu, type Tensor } from '@peftjs/tensor';
import { affineOf, computedRows, rowsName, type TensorsOf } from './encoder.ts';
import { promptComputes, promptConfig, rowsInFront, submodulesOption } from './soft-prompt.ts';

/** Options of `pTuning`. */
export interface PTuningOptions {
  /** Virtual tokens m. Default 20. */
  readonly length?: number;
  /** Width h of the encoder. Default: the model's hidden size. */
  readonly hidden?: number;
  /** `mlp` (default) trains the encoder; `none` trains the rows as they are, which is how a saved prompt is loaded: it holds what the encoder computed. */
  readonly encoder?: 'mlp' | 'none';
  /** Towers that there are rows for, of which the first alone reads its: 2 in files of Hugging Face PEFT for encoder-decoders. Default 1. */
  readonly submodules?: number;
}

const encoderOption: Option<'mlp' | 'none'> = {
  key: 'peft_type',
  fallback: () => 'mlp',
  expected: 'one of mlp, none',
  accepts: (v) => v === 'mlp' || v === 'none',
  toJson: () => 'P_TUNING',
  // Whatever the encoder was, a file has its rows.
  fromJson: () => 'none',
};

interface Sizes {
  readonly length: number;
  readonly hidden: number;
}

/** [m, d] from m learned embeddings: Linear, ReLU, Linear, ReLU, Linear. */
const mlpRows =
  ({ length, hidden }: Sizes, width: number) =>
  (tensors: TensorsOf): Tensor => {
    const layer = (i: number, x: Tensor, outDim: number): Tensor =>
      affineOf(tensors, `prompt_encoder.mlp_head.${i}`, x, outDim);
    const first = tensors('prompt_encoder.embedding.weight', [length, width], normal(1));
    return layer(4, relu(layer(2, relu(layer(0, first, hidden)), hidden)), width);
  };

/**
 * P-tuning: [P; E(x)] with the m rows P = MLP(embeddings) of a small encoder, which training reaches more evenly than rows by themselves;
 * saved is what it computes, as Hugging Face PEFT does. In an encoder-decoder they are before the encoder's tokens. The paper's encoder has an LSTM before the MLP; PEFT's default is the MLP alone,
 * and so is this. PEFT too puts all rows in front, where the paper places them anywhere in a template. Does not merge. Throws `bad-option`.
 * Liu et al., 2021. https://arxiv.org/abs/2103.10385
 */
export const pTuning: MethodFactory<PTuningOptions> = defineMethod<PTuningOptions>({
  name: 'pTuning',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 20),
      hidden: { ...count('encoder_hidden_size', 1), fallback: ({ main }) => main.hiddenSize },
      encoder: encoderOption,
      submodules: submodulesOption,
    },
    compact: async (model, { encoder, submodules, ...sizes }, state, { executor }) => ({
      method: pTuning({ ...sizes, encoder: 'none', submodules: encoder === 'none' ? submodules : 1 }),
      state: encoder === 'none' ? state : await computedRows(mlpRows(sizes, model.main.hiddenSize), state, executor),
    }),
    attach: (model, scope, { encoder, submodules, ...sizes }) =>
      rowsInFront(model, { length: sizes.length, submodules }, ({ dim }) =>
        encoder === 'mlp'
          ? mlpRows(sizes, dim)(scope.param)
          : scope.param(rowsName, [sizes.length * submodules, dim], normal(1)),
      ),
  },
  files: {
    peftType: 'P_TUNING',
    computes: promptComputes,
    config: (model) => ({
      ...promptConfig(model, model.main.hiddenSize, model.main.heads),
      encoder_reparameterization_type: 'MLP',
      encoder_num_layers: 2,
      encoder_dropout: 0,
    }),
    keys: { [rowsName]: rowsName },
  },
  card: {
    about: 'an encoder that makes rows in front of the embeddings',
    paper: {
      authors: 'Liu et al.',
      year: 2021,
      title: 'GPT Understands, Too',
      url: 'https://arxiv.org/abs/2103.10385',
    },
    learningRate: 1e-3,
  },
});
