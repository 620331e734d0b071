import {
  count,
  defineMethod,
  type MethodFactory,
  normal,
  type Option,
  oneOf,
  rate,
  requireOneTower,
  type Scope,
  uniform,
} from '@peftjs/core';
import { broadcastTo, relu, reshape, slice, type Tensor } from '@peftjs/tensor';
import { affine, type Call } from '@peftjs/transformer';
import { adaptivePool } from './adaptive-pool.ts';
import { rowsName } from './encoder.ts';
import { lateRowsInFront } from './late-rows.ts';
import { lastToken, tokenRows } from './over-tokens.ts';

/** How rows are made of a text. */
export type PromptGenerator = 'naive' | 'average' | 'max' | 'none';

/** All of them. */
export const generators: readonly PromptGenerator[] = ['naive', 'average', 'max', 'none'];

/** Options of `lpt`. */
export interface LptOptions {
  /** Virtual tokens m. Default 5. */
  readonly length?: number;
  /** How many layers run before the rows are there. Default half of them. */
  readonly layer?: number;
  /**
   * The rows are made of the text as it is after those layers: `naive` (default), all of one token, the first of an encoder and the last of a decoder; `average` or `max`, each of a part of the tokens;
   * `none`, the rows are trained as they are, the same for all texts.
   */
  readonly generator?: PromptGenerator;
  /** Width h of the generator. Default 128. */
  readonly bottleneck?: number;
  /** Probability that a value of the rows is dropped while training. Default 0; the authors' generator has that of the model, 0.1. */
  readonly dropout?: number;
}

const layerOption: Option<number> = {
  ...count('prompt_layer', 1),
  fallback: (model) => Math.floor(model.main.paths('block').length / 2),
};

/** [batch, 1, d]: the token that stands for a text. */
const oneToken = (x: Tensor, call: Call): Tensor =>
  call.tower.attends === 'all' ? slice(x, { axis: 1, start: 0, end: 1 }) : lastToken(x, call);

/** The rows [batch, m, d] of a text's tokens [batch, tokens, d], with the tensors that make them. */
export const generatorOf = (
  scope: Scope,
  d: number,
  { length, generator, bottleneck, dropout }: Required<Omit<LptOptions, 'layer'>>,
): ((x: Tensor, call: Call) => Tensor) => {
  if (generator === 'none') {
    const rows = scope.param(rowsName, [length, d], normal(1));
    return (x) => scope.dropout(broadcastTo(rows, [x.shape[0]!, length, d]), dropout);
  }
  const layer = (name: string, inDim: number, outDim: number): ((x: Tensor) => Tensor) => {
    const [own, init] = [scope.at(`prompt_generator.${name}`), uniform(1 / Math.sqrt(inDim))];
    const parts = { weight: own.param('weight', [outDim, inDim], init), bias: own.param('bias', [outDim], init) };
    return (x) => affine(x, parts);
  };
  const down = layer('proj_down', d, bottleneck);
  const up = layer('proj_up', bottleneck, generator === 'naive' ? length * d : d);
  return (x, call) => {
    const inner = generator === 'naive' ? down(oneToken(x, call)) : adaptivePool(down(x), call, length, generator);
    return scope.dropout(reshape(up(relu(inner)), [x.shape[0]!, length, d]), dropout);
  };
};

/**
 * LPT, late prompt tuning: the first k layers read the text alone; then m rows come in front, [P(h); h] with h [tokens, d] the text as it is after them, and the other layers read both. P is made of each text by a
 * bottleneck, W₂·relu(W₁·z + b₁) + b₂: `naive`, of one token's z = h_t, W₁ [h, d], W₂ [m·d, h]; `average` and `max`, row by row, W₂ [d, h], with W₁·z + b₁ pooled over m parts of the text. Values are from U(−1/√in, 1/√in), rows of `none` from N(0, 1).
 * No gradient goes through the first k layers. Tokens have the positions that they have without a prompt, and rotary layers find its rows at those before 0. Generation keeps the prompt of the text that it continues.
 * Files have a layout of our own. Does not merge. Throws `bad-option` and `no-match` when attached: for models of several towers, or whose layers share blocks; with rows or keys of other methods in front.
 * Liu, Sun, Huang & Qiu, 2022. https://arxiv.org/abs/2210.11292 By the authors' code, https://github.com/xyltt/LPT, decoder-only/models/modeling_gpt2.py and encoder-only/models/modeling_roberta.py.
 */
export const lpt: MethodFactory<LptOptions> = defineMethod<LptOptions>({
  name: 'lpt',
  formula: {
    merges: false,
    options: {
      length: count('num_virtual_tokens', 5),
      layer: layerOption,
      generator: oneOf('generator_type', generators, 'naive'),
      bottleneck: count('bottleneck_dim', 128),
      dropout: rate('generator_dropout', 0),
    },
    attach: (model, scope, { layer, ...sizes }) => {
      requireOneTower(model, 'lpt');
      const { length } = sizes;
      const rowsOf = generatorOf(scope, model.main.hiddenSize, sizes);
      return lateRowsInFront(model, {
        who: 'lpt',
        length,
        rows: new Map([[layer, (x, _, call) => rowsOf(tokenRows(x, call), call)]]),
      });
    },
  },
  files: { peftType: 'PEFTJS_LPT' },
  card: {
    about: 'a generator that makes rows in front of the text, of each text, halfway through the layers',
    paper: {
      authors: 'Liu et al.',
      year: 2022,
      title: 'Late Prompt Tuning: A Late Prompt Could Be Better Than Many Prompts',
      url: 'https://arxiv.org/abs/2210.11292',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
