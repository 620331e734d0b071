import { type Chosen, count, defineMethod, type MethodFactory, normal, type Option, rate } from '@peftjs/core';
import { relu, type Tensor } from '@peftjs/tensor';
import { tokenTableOf } from '@peftjs/transformer';
import { affineOf, computedRows, rowsName, type TensorsOf } from './encoder.ts';
import { lstm } from './lstm.ts';
import { promptComputes, promptConfig, rowsInFront, submodulesOption } from './soft-prompt.ts';

type Encoder = 'mlp' | 'lstm' | 'none';

/** Options of `pTuning`. */
export interface PTuningOptions {
  /** Virtual tokens m. Default 20. */
  readonly length?: number;
  /** Width h of the encoder. Default: the model's hidden size. */
  readonly hidden?: number;
  /** Trained is an encoder: `mlp` (default), or `lstm`, the paper's, an LSTM before a smaller MLP; `none` trains the rows as they are, which is how a saved prompt is loaded: it holds what the encoder computed. */
  readonly encoder?: Encoder;
  /** Layers of the LSTM. Default 2. */
  readonly layers?: number;
  /** Probability that a value between the LSTM's layers is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Towers that there are rows for, of which the first alone reads its: 2 in files of Hugging Face PEFT for encoder-decoders. Default 1. */
  readonly submodules?: number;
}

const encoderOption: Option<Encoder> = {
  key: 'peft_type',
  fallback: () => 'mlp',
  expected: 'one of mlp, lstm, none',
  accepts: (v) => v === 'mlp' || v === 'lstm' || v === 'none',
  toJson: () => 'P_TUNING',
  // Whatever the encoder was, a file has its rows.
  fromJson: () => 'none',
};

type Sizes = Omit<Chosen<PTuningOptions>, 'submodules'>;

/** [m, d] from m learned embeddings: Linear, ReLU, Linear, ReLU, Linear. */
const mlpRows =
  ({ length, hidden }: Sizes, width: number) =>
  (tensors: TensorsOf): Tensor => {
    const layer = (i: number, x: Tensor, outDim: number): Tensor =>
      affineOf(tensors, `prompt_encoder.mlp_head.${i}`, x, outDim);
    const first = tensors('prompt_encoder.embedding.weight', [length, width], normal(1));
    return layer(4, relu(layer(2, relu(layer(0, first, hidden)), hidden)), width);
  };

/** [m, d] from m learned embeddings: an LSTM, Linear, ReLU, Linear. */
const lstmRows =
  ({ length, ...sizes }: Sizes, width: number, between: (x: Tensor) => Tensor = (x) => x) =>
  (tensors: TensorsOf): Tensor => {
    const first = tensors('prompt_encoder.embedding.weight', [length, width], normal(1));
    const inLstm: TensorsOf = (name, ...how) => tensors(`prompt_encoder.lstm_head.${name}`, ...how);
    const read = lstm(inLstm, first, sizes, between);
    const inner = relu(affineOf(tensors, 'prompt_encoder.mlp_head.0', read, 2 * sizes.hidden));
    return affineOf(tensors, 'prompt_encoder.mlp_head.2', inner, width);
  };

/** The encoder; null where the rows are trained as they are. */
const encoderOf = (sizes: Sizes, width: number, between?: (x: Tensor) => Tensor) => {
  if (sizes.encoder === 'none') return null;
  return sizes.encoder === 'lstm' ? lstmRows(sizes, width, between) : mlpRows(sizes, width);
};

/**
 * P-tuning: [P; E(x)] with the m rows P = MLP(embeddings) of a small encoder, which training reaches more evenly than rows by themselves;
 * saved is what it computes, as Hugging Face PEFT does. In an encoder-decoder they are before the encoder's tokens. The paper's encoder has an LSTM before the MLP, `encoder: 'lstm'`; PEFT's default is the MLP alone,
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
      layers: count('encoder_num_layers', 2),
      dropout: rate('encoder_dropout', 0),
      submodules: submodulesOption,
    },
    check: ({ encoder = 'mlp', layers = 2, dropout = 0 }) =>
      encoder === 'mlp' && (layers !== 2 || dropout > 0) ? "layers and dropout are of encoder: 'lstm'" : null,
    compact: async (model, { submodules, ...sizes }, state, { executor }) => {
      const encode = encoderOf(sizes, tokenTableOf(model, model.towers[0], 'prompt').dim);
      return {
        method: pTuning({ ...sizes, encoder: 'none', submodules: encode ? 1 : submodules }),
        state: encode ? await computedRows(encode, state, executor) : state,
      };
    },
    attach: (model, scope, { submodules, ...sizes }) =>
      rowsInFront(model, { length: sizes.length, submodules }, ({ dim }) => {
        const encode = encoderOf(sizes, dim, (x) => scope.dropout(x, sizes.dropout));
        return encode?.(scope.param) ?? scope.param(rowsName, [sizes.length * submodules, dim], normal(1));
      }),
  },
  files: {
    peftType: 'P_TUNING',
    computes: promptComputes,
    config: (model, { encoder }) => ({
      ...promptConfig(model, model.main.hiddenSize, model.main.heads),
      encoder_reparameterization_type: encoder === 'lstm' ? 'LSTM' : 'MLP',
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
