import { coupled } from '@peftjs/autograd';
import {
  count,
  defineMethod,
  flag,
  type MethodFactory,
  normal,
  type Option,
  oneOf,
  positive,
  rate,
  requireOneTower,
  requireOneWidth,
  type Scope,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { add, mul, PeftError, type Tensor } from '@peftjs/tensor';
import { type Around, affine, type Path, type SiteCore, slot } from '@peftjs/transformer';
import { type Activation, activationIn, activationOption, type Layer } from '../activation.ts';
import { norm } from '../bottleneck.ts';
import { halvesOf } from './halves.ts';

/** The part that is F; G is the other. */
export type MeftKind = 'layer' | 'adapter' | 'attn';

/** Options of `meft`. */
export interface MeftOptions {
  /** F is the layer (MEFT1), an adapter (MEFT2), or attention (MEFT3). Default `layer`. */
  readonly kind?: MeftKind;
  /** Width r of the adapters. Default 8. */
  readonly bottleneck?: number;
  /** λ. Default null: 0.1, with kind `adapter` 1. */
  readonly lambda?: number | null;
  /** β. Default null: 0.1, with kind `layer` 1. */
  readonly beta?: number | null;
  /** f. Default `gelu`. */
  readonly activation?: Activation;
  /** A trained layer norm before the bottleneck of the adapter that stands for itself. Default false. */
  readonly layerNorm?: boolean;
  /** Probability that an inner value of an adapter is dropped while training. Default 0. */
  readonly dropout?: number;
  /** The streams are kept before every so-manieth layer, and rebuilt before all others; 0: rebuilt before all but the first. Default null: 4, with kind `adapter` 3, with `attn` 2. */
  readonly keepEvery?: number | null;
}

/** The stream that the next layer does not begin with. */
const other = slot<Tensor | null>('other stream');

/** The number of layers before this one in the pass. */
const depth = slot<number>('depth');

const defaults: {
  readonly [K in MeftKind]: { readonly factors: readonly [number, number]; readonly keepEvery: number };
} = {
  layer: { factors: [0.1, 1], keepEvery: 4 },
  adapter: { factors: [1, 0.1], keepEvery: 3 },
  attn: { factors: [0.1, 0.1], keepEvery: 2 },
};

/** An option that hangs on the kind where it is null. */
const byKind = (own: Option<number>): Option<number | null> => ({
  ...own,
  fallback: () => null,
  accepts: (v) => v === null || own.accepts(v),
});

/** Refuses rows of rebuilt layers of which nothing could be left: going back stretches both streams by 1 / √(λ β) a layer in the mean, whatever the layers are. */
const checkRounding = (lambda: number, beta: number, keepEvery: number, layers: number): void => {
  const rebuilt = Math.min(keepEvery || layers, layers) - 1;
  if (2 ** -24 * (lambda * beta) ** (-rebuilt / 2) <= 0.1) return;
  throw new PeftError(
    'bad-option',
    `meft: through ${rebuilt} rebuilt layers in a row, with lambda ${lambda} and beta ${beta}, rounding errors would outgrow the streams; give a smaller keepEvery, or larger factors`,
  );
};

/** W₂ f(W₁ x + b₁) + b₂ */
const adapter = (
  own: Scope,
  d: number,
  r: number,
  { activation, dropout }: { readonly activation: Activation; readonly dropout: number },
  before: Layer = (x) => x,
): Layer => {
  const dense = (name: string, outDim: number, inDim: number): Layer => {
    const weight = own.param(`${name}.weight`, [outDim, inDim], normal(0.02));
    const bias = own.param(`${name}.bias`, [outDim], zeros);
    return (x) => affine(x, { weight, bias });
  };
  const [down, f, up] = [dense('dense1', r, d), activationIn(own, activation), dense('dense2', d, r)];
  return (x) => up(own.dropout(f(down(before(x))), dropout));
};

/**
 * MEFT: a frozen model made reversible, so that a training step keeps activations of a few layers, not of all. The stream is two, both the embedded tokens at first; each layer is y₁ = λ x₁ + F(x₂), y₂ = β x₂ + G(y₁), and the head reads (y₁ + y₂) / 2
 * of the last. MEFT1 (`layer`): F is the frozen layer, G an adapter; MEFT2 (`adapter`): the other way round; both hand on (y₂, y₁). MEFT3 (`attn`): F is the layer's attention with its residual sum, G its MLP with its own, and
 * (y₁, y₂) is handed on. An adapter is W₂ f(W₁ x + b₁) + b₂ with W₁ [r, d], W₂ [d, r] from N(0, 0.02²) and biases 0; one is beside every MLP, and of MEFT3 one behind every attention, x + adapter(x). Training does not begin at the base.
 *
 * The backward pass gets x₂ = (y₂ − G(y₁)) / β and x₁ = (y₁ − F(x₂)) / λ, and with them all inner values of the layer, one layer at a time: one more forward pass. Rounding errors grow on the way, by 1 / √(λ β) a layer and more, so the streams are
 * kept before every so-manieth layer (`keepEvery`), where the authors' code keeps those at the end alone. Of SmolLM2-135M the gradients are then off by 7e-6 (`layer`, 4), 9e-4 (`adapter`, 3) and 1e-4 (`attn`, 2); by 0.1 to 1 where 8 layers are rebuilt in
 * a row, and by all where all 30 are, which is refused. With `recompute` (gradient checkpointing) nothing is rebuilt, and both streams are kept before every layer. For models of one tower. Does not merge. Throws `bad-option`, and when attached
 * `no-match`.
 * Liao, Tan & Monz, 2023. https://arxiv.org/abs/2306.00477, as https://github.com/BaohaoLiao/mefts has it.
 */
export const meft: MethodFactory<MeftOptions> = defineMethod<MeftOptions>({
  name: 'meft',
  formula: {
    merges: false,
    options: {
      kind: oneOf<MeftKind>('f_arch', ['layer', 'adapter', 'attn'], 'layer'),
      bottleneck: count('adapter_bottleneck_dim', 8),
      lambda: byKind(positive('x1_factor', 1)),
      beta: byKind(positive('x2_factor', 1)),
      activation: activationOption('gelu'),
      layerNorm: flag('layernorm_in_adapter', false),
      dropout: rate('adapter_dropout', 0),
      keepEvery: byKind(wholeNumber('keep_every', 0)),
    },
    attach: (model, scope, { kind, bottleneck: r, lambda, beta, layerNorm, keepEvery: given, ...how }) => {
      requireOneTower(model, 'meft');
      requireOneWidth(model, 'meft');
      const d = model.main.hiddenSize;
      const { factors, keepEvery: usual } = defaults[kind];
      const [first, second, keepEvery] = [lambda ?? factors[0], beta ?? factors[1], given ?? usual];
      checkRounding(first, second, keepEvery, model.paths('block').length);
      const moduleOf = (path: Path, name: string): Scope => scope.at(`${path}.${name}`);
      const beside = (path: Path): Around<'mlp'> => {
        const own = adapter(moduleOf(path, 'ffn_adapter'), d, r, how);
        return (x, next) => add(next(x), own(x));
      };
      const behind = (path: Path): Around<'attn'> => {
        const own = adapter(moduleOf(path, 'attn_adapter'), d, r, how);
        return (x, next) => {
          const y = next(x);
          return add(y, own(y));
        };
      };
      const apart = kind === 'attn' ? halvesOf(model, behind, beside) : null;
      const partsOf = (path: Path): ((next: SiteCore<'block'>) => readonly [Layer, Layer]) => {
        if (apart) return (next) => [(x) => apart.halves.first(x, next), (h) => apart.halves.second(h, next)];
        const own = moduleOf(path, 'rev_adapter');
        const alone = adapter(own, d, r, how, layerNorm ? norm(own, 'LayerNorm', d) : undefined);
        return kind === 'layer' ? (next) => [next, alone] : (next) => [alone, next];
      };
      const block = (path: Path): Around<'block'> => {
        const parts = partsOf(path);
        return (x, next, { pass }) => {
          const [f, g] = parts(next);
          const layer = pass.get(depth) ?? 0;
          pass.put(depth, layer + 1);
          const rebuild = keepEvery === 0 ? layer > 0 : layer % keepEvery > 0;
          const y1 = coupled(pass.get(other) ?? x, x, f, { factor: first, rebuild });
          const y2 = coupled(x, y1, g, { factor: second, rebuild });
          pass.put(other, kind === 'attn' ? y1 : y2);
          return kind === 'attn' ? y2 : y1;
        };
      };
      const [embed, head] = [model.paths('embed')[0]!, model.paths('head')[0]!];
      return {
        around: {
          ...(apart ? apart.around : { mlp: new Map(model.paths('mlp').map((path) => [path, beside(path)])) }),
          embed: new Map([
            [
              embed,
              (ids, next, { pass }) => {
                pass.put(other, null);
                pass.put(depth, 0);
                return next(ids);
              },
            ],
          ]),
          block: new Map(model.paths('block').map((path) => [path, block(path)])),
          head: new Map([[head, (x, next, { pass }) => next(mul(add(x, pass.get(other) ?? x), 0.5))]]),
        },
      };
    },
  },
  files: { peftType: 'PEFTJS_MEFT' },
  card: {
    about: 'adapters and two streams that are rebuilt in the backward pass',
    paper: {
      authors: 'Liao, Tan & Monz',
      year: 2023,
      title: 'Make Pre-trained Model Reversible: From Parameter to Memory Efficient Fine-Tuning',
      url: 'https://arxiv.org/abs/2306.00477',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
