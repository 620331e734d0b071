import {
  count,
  defineMethod,
  flag,
  type MethodFactory,
  type MiddlewareTable,
  requireOneWidth,
  type State,
} from '@peftjs/core';
import { add, PeftError } from '@peftjs/tensor';
import type { Around, Path } from '@peftjs/transformer';
import { averageHeads } from './average.ts';
import { tinyHeads } from './heads.ts';

/** Options of `tinyAttention`. */
export interface TinyAttentionOptions {
  /** Heads of each adapter. Default 1. */
  readonly heads?: number;
  /** Width of each head. Default 1. */
  readonly headDim?: number;
  /**
   * Whether the heads, once trained, are saved as one: the mean of their projections, each head an expert. What is saved is then cheaper, and not quite
   * the function that was trained. Default false.
   */
  readonly average?: boolean;
}

/** The name of the adapter in its layer. */
const home = '.tiny_attn.';

/** One tensor of a state. */
type StateTensor = State extends ReadonlyMap<string, infer T> ? T : never;

/** A state with the heads of every layer averaged. */
const averaged = (state: State, hiddenSize: number, heads: number, headDim: number): State => {
  const layers = new Map<string, Map<string, StateTensor>>();
  for (const [name, tensor] of state) {
    const at = name.indexOf(home) + home.length;
    const layer = layers.get(name.slice(0, at)) ?? new Map();
    layers.set(name.slice(0, at), layer.set(name.slice(at), tensor));
  }
  return new Map(
    [...layers].flatMap(([path, layer]) =>
      [...averageHeads(layer, { hiddenSize, heads, headDim })].map(
        ([name, tensor]) => [`${path}${name}`, tensor] as const,
      ),
    ),
  );
};

/**
 * Tiny-attention adapter: after the attention of every layer x ← x + W₂·MHA(W₁·norm(x) + b₁) + b₂ of the residual stream x that the attention was
 * added to, in models whose norm follows that sum before the norm. MHA has a few heads of width 1, so that each token's state is changed by those of
 * the tokens that it may see. W₁ [3E, d] with E = heads · headDim from U(±1/√d), W₂ [d, E] from U(±1/√E) / 100, so nearly the identity; the base is
 * frozen. Dropout of the weights of attention, the authors' 0.1, is left out. Keys are kept when a text is continued. With `average` the heads are
 * saved as one; the authors' code does not show how, so the scale is the one that keeps the function where all heads are alike. Does not merge.
 * Throws `bad-option`. Zhao, Tan & Mei, 2022. https://arxiv.org/abs/2211.01979, by the authors' code: `rewriter/model/tiny_attn.py`, and the
 * structure m0 of `RobertaLayerBL`.
 */
export const tinyAttention: MethodFactory<TinyAttentionOptions> = defineMethod<TinyAttentionOptions>({
  name: 'tinyAttention',
  formula: {
    merges: false,
    options: { heads: count('heads', 1), headDim: count('head_dim', 1), average: flag('average_heads', false) },
    compact: async ({ main }, options, state) => {
      const { heads, headDim, average } = options;
      if (!average || heads === 1) return { method: tinyAttention(options), state };
      return {
        method: tinyAttention({ heads: 1, headDim }),
        state: averaged(state, main.hiddenSize, heads, headDim),
      };
    },
    attach: (model, scope, { heads, headDim }) => {
      requireOneWidth(model, 'tinyAttention');
      const blocks = model.paths('block');
      const arounds = model.paths('attn').map((path): [Path, Around<'attn'>] => {
        const block = blocks.find((b) => path.startsWith(`${b}.`));
        const hiddenSize = model.widthAt(path);
        const name = `${block ?? path}${home.slice(0, -1)}`;
        const tiny = tinyHeads(model, scope.at(name), name, { hiddenSize, heads, headDim });
        return [
          path,
          (x, next, call) => {
            const y = next(x);
            return add(y, tiny(add(y, call.stream!), call));
          },
        ];
      });
      if (arounds.length === 0)
        throw new PeftError('no-match', 'tinyAttention: this part of the model has no attention');
      const around: MiddlewareTable = { attn: new Map(arounds) };
      return { around };
    },
  },
  files: { peftType: 'PEFTJS_TINY_ATTENTION' },
  card: {
    about: 'attention of tiny heads after the attention',
    paper: {
      authors: 'Zhao, Tan & Mei',
      year: 2022,
      title: 'Tiny-Attention Adapter: Contexts Are More Important Than the Number of Parameters',
      url: 'https://arxiv.org/abs/2211.01979',
    },
    learningRate: 1e-3,
    narrowRate: 3e-3,
  },
});
