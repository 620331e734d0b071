import { count, defineMethod, glorotUniform, type MethodFactory, type Option, rate, type Scope } from '@peftjs/core';
import { add, layerNorm, relu, type Tensor } from '@peftjs/tensor';
import type { Around, Model, Path, Tower } from '@peftjs/transformer';
import { linear } from './bottleneck.ts';

/** Options of `ciat`. */
export interface CiatOptions {
  /** Width r of the adapters beside attentions and MLPs. Default d / 2. */
  readonly bottleneck?: number;
  /** Width of those at the embeddings. Default d / 2. */
  readonly embedding?: number;
  /** Probability that a value in the middle is dropped while training. Default 0.1. */
  readonly dropout?: number;
}

/** Half of the model's width. */
const half = (key: string): Option<number> => ({
  ...count(key, 1),
  fallback: ({ main }: Model) => Math.max(1, Math.floor(main.hiddenSize / 2)),
});

const glorot = glorotUniform(1);

/** W_out ReLU(W_in x + b_in) + b_out. */
const adapter = (own: Scope, width: number, hiddenSize: number, dropout: number): ((x: Tensor) => Tensor) => {
  const inner = linear(own, 'inner', width, hiddenSize, glorot);
  const outer = linear(own, 'outer', hiddenSize, width, glorot);
  return (x) => outer(own.dropout(relu(inner(x)), dropout));
};

/** The same of the norm of x, added to x: at a tower's embedded tokens. */
const atEmbedding = (scope: Scope, width: number, d: number, dropout: number): ((x: Tensor) => Tensor) => {
  const weight = scope.param('norm.weight', [d], (shape) => new Float32Array(shape[0]!).fill(1));
  const bias = scope.param('norm.bias', [d], (shape) => new Float32Array(shape[0]!));
  const changed = adapter(scope, width, d, dropout);
  return (x) => add(x, changed(layerNorm(x, weight, bias, { eps: 1e-6 })));
};

/** The path of the adapter of a sublayer: beside it. */
const beside = (path: Path, site: 'attn' | 'mlp'): Path => `${path.slice(0, path.lastIndexOf('.'))}.${site}_adapter`;

const sublayers = <S extends 'attn' | 'mlp'>(
  model: Model,
  scope: Scope,
  { paths }: Tower,
  site: S,
  { bottleneck, dropout }: Required<CiatOptions>,
): [Path, Around<S>][] =>
  paths(site).map((path) => {
    const changed = adapter(scope.at(beside(path, site)), bottleneck, model.widthAt(path), dropout);
    return [path, ((x, next) => add(next(x), changed(x))) as Around<'attn'> as unknown as Around<S>];
  });

/**
 * Counter-interference adapters: one at the embedded tokens of encoder and decoder, x ← x + A(LN(x)), and one beside every self-attention and MLP, which reads
 * what that reads, y ← F(x) + A(x), with A(x) = W_out ReLU(W_in x + b_in) + b_out. W_in [r, d] and W_out [d, r] from Glorot's uniform distribution, biases 0, so
 * training does not begin at the base. In the paper each pair of languages has adapters of its own over one model of many: `multiTask` and `mixBatch` choose
 * them by row. Does not merge. Zhu et al., 2021. https://arxiv.org/abs/2104.08154, with https://github.com/bytedance/neurst (`transformer_CIAT.py` and the layers
 * that it names), whose models have their norms before the sublayers; in others a sublayer reads the stream itself.
 */
export const ciat: MethodFactory<CiatOptions> = defineMethod<CiatOptions>({
  name: 'ciat',
  formula: {
    merges: false,
    options: {
      bottleneck: half('layer_adapter_dim'),
      embedding: half('emb_adapter_dim'),
      dropout: rate('adapter_dropout', 0.1),
    },
    attach: (model, scope, options) => {
      const first = model.towers.map((tower): [Path, Around<'block'>] => {
        const path = tower.paths('block')[0]!;
        const own = scope.at(`${path}.emb_adapter`);
        const changed = atEmbedding(own, options.embedding, model.widthAt(path), options.dropout);
        return [path, (x, next) => next(changed(x))];
      });
      const at = <S extends 'attn' | 'mlp'>(site: S): ReadonlyMap<Path, Around<S>> =>
        new Map(model.towers.flatMap((tower) => sublayers(model, scope, tower, site, options)));
      return { around: { block: new Map(first), attn: at('attn'), mlp: at('mlp') } };
    },
  },
  files: { peftType: 'PEFTJS_CIAT' },
  card: {
    about: 'bottlenecks at the embeddings and beside attentions and MLPs',
    paper: {
      authors: 'Zhu et al.',
      year: 2021,
      title: 'Counter-Interference Adapter for Multilingual Machine Translation',
      url: 'https://arxiv.org/abs/2104.08154',
    },
    learningRate: 7e-4,
    narrowRate: 1e-2,
  },
});
