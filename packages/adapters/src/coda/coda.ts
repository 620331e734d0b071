import {
  count,
  defineMethod,
  kaimingUniform,
  type MethodFactory,
  normal,
  oneOf,
  positive,
  type Scope,
  zeros,
} from '@peftjs/core';
import {
  add,
  broadcastTo,
  constant,
  div,
  floor,
  less,
  matmul,
  maximum,
  mul,
  neg,
  PeftError,
  relu,
  reshape,
  select,
  sub,
  sum,
  type Tensor,
  topK,
} from '@peftjs/tensor';
import {
  type Around,
  type Call,
  type KeysOf,
  type Model,
  type Path,
  putRows,
  slot,
  takeRows,
} from '@peftjs/transformer';
import { linear } from '../bottleneck.ts';
import { softTopK } from './soft-top-k.ts';

/** Options of `coda`. */
export interface CodaOptions {
  /** ρ: of n tokens ⌈n / ρ⌉ go through a layer. At least 1. Default 3. */
  readonly ratio?: number;
  /** Whose keys and values the chosen tokens' attention sees: those of all tokens, or of the chosen ones, which is faster. Default `all`. */
  readonly keys?: KeysOf;
  /** ε of the soft choice: the smaller, the nearer its weights are to 0 and 1. Default 0.03; 1 for speech. */
  readonly epsilon?: number;
  /** Width r of the adapters. Default 64. */
  readonly bottleneck?: number;
}

/** Tokens that a layer takes, and their weights. */
interface Choice {
  /** i32 [batch, k]; batch · n where a text has fewer. */
  readonly rows: Tensor;
  /** f32 [batch, k, 1] */
  readonly weights: Tensor;
}

const number = (value: number): Tensor => constant(Float32Array.of(value), []);

/** f32 [batch, n]: 1 for tokens, 0 for what is hidden; null where nothing is. Throws `bad-option` for rows in front. */
const tokensSeen = (n: number, { sequence: { tokens, mask } }: Call): Tensor | null => {
  if (n !== tokens)
    throw new PeftError(
      'bad-option',
      'coda: a method puts rows in front of the tokens, and its router is one of tokens alone; attach it without',
    );
  return mask;
};

/** The choice among tokens by their scores s [batch, n]. */
const choose = (s: Tensor, mask: Tensor | null, { ratio, epsilon }: Required<CodaOptions>): Choice => {
  const [batch, n] = s.shape as readonly [number, number];
  const most = Math.ceil(Math.fround(n / Math.fround(ratio)));
  const counted = mask
    ? maximum(sum(mask, { axes: [1], keepDims: true }), number(1))
    : broadcastTo(number(n), [batch, 1]);
  const k = mask ? neg(floor(neg(div(counted, number(ratio))))) : broadcastTo(number(most), [batch, 1]);
  const scores = mask ? select(mask, s, broadcastTo(number(-1e9), s.shape)) : s;
  const weights = softTopK(scores, k, counted, epsilon);
  const [, places] = topK(scores, { k: most });
  const ranks = constant(
    Float32Array.from({ length: most }, (_, i) => i),
    [1, most],
  );
  const none = broadcastTo(constant(Int32Array.of(batch * n), []), [batch, most]);
  const rows = mask ? select(less(ranks, k), places, none) : places;
  return { rows, weights: reshape(takeRows(weights, rows), [batch, most, 1]) };
};

/** The rows that the attention of a layer reads, as it is first called: the layer's own, normed where its norm comes first. */
const read = slot<Tensor | null>('rows that attention reads');

const around = (own: Scope, d: number, options: Required<CodaOptions>): Around<'block'> => {
  const router = own.param('router', [d], normal(1 / Math.sqrt(d)));
  const down = linear(own, 'adapter_down', options.bottleneck, d, kaimingUniform);
  const up = linear(own, 'adapter_up', d, options.bottleneck, zeros);
  return (x, next, call) => {
    const { over, pass } = call;
    if (!over)
      throw new PeftError(
        'bad-option',
        'coda: rows of this pass hold several texts, which its choice would mix; give rows of one text each',
      );
    const [batch, n] = x.shape as readonly [number, number, number];
    const mask = tokensSeen(n, call);
    pass.put(read, null);
    next(x); // Nothing of it is computed but what attention reads.
    const rows = pass.get(read)!;
    const scores = reshape(matmul(rows, reshape(router, [d, 1])), [batch, n]);
    const chosen = choose(scores, mask, options);
    const gained = sub(over(x, chosen.rows, options.keys, next), takeRows(x, chosen.rows));
    return add(add(x, up(relu(down(rows)))), putRows(mul(gained, chosen.weights), chosen.rows, n));
  };
};

/** Attentions of the towers whose rows see all others, by their blocks. Throws `no-match`. */
const placesOf = ({ towers }: Model): Map<Path, Path> => {
  const found = towers.flatMap(({ attends, takesRows, paths }) =>
    attends === 'all' && takesRows
      ? paths('block').map((block): [Path, Path] => [
          block,
          paths('attn').find((path) => path.startsWith(`${block}.`))!,
        ])
      : [],
  );
  if (found.length === 0)
    throw new PeftError(
      'no-match',
      'coda: it chooses among all tokens of a text, so that later ones change earlier ones: it is for encoders, and for the encoder of an encoder-decoder',
    );
  return new Map(found);
};

/**
 * CoDA, conditional adapters: of n tokens only k = ⌈n / ρ⌉ go through a frozen layer, all go through an adapter beside it. y = x + A(u) + λ ⊙ (layer(x) − x), the last term for chosen tokens alone, with
 * u [n, d] what the layer's attention reads, A(u) = W_up ReLU(W_down u + b_down) + b_up, scores s = u·w of a trained w [d], λ their soft top k (`softTopK`), and chosen the k largest. The layer runs on k
 * rows; of the others at most keys and values are made (`keys: 'all'`). Tokens that a mask hides are not counted. Decoders are left as they are. W_down [r, d] from U(−1/√d, 1/√d), W_up [d, r] and biases 0,
 * w from N(0, 1/d). Training does not begin at the base. Does not merge. Throws `bad-option`, and when attached `no-match`.
 * Lei et al., 2023. https://arxiv.org/abs/2304.04947. Its layer, soft top k, ρ of 3 to 5 and both kinds of keys are the paper's, as far as its abstract, summaries and others' code tell, as there is no code of the authors.
 * Ours are w's first values, ε and `keys` where the paper has them by task, and that a layer whose norms follow its sums gives its difference as λ's factor.
 */
export const coda: MethodFactory<CodaOptions> = defineMethod<CodaOptions>({
  name: 'coda',
  formula: {
    merges: false,
    options: {
      ratio: positive('routing_ratio', 3),
      keys: oneOf<KeysOf>('routing_keys', ['all', 'chosen'], 'all'),
      epsilon: positive('routing_epsilon', 0.03),
      bottleneck: count('bottleneck', 64),
    },
    check: ({ ratio = 1 }) => (ratio < 1 ? `ratio ${ratio} must be at least 1` : null),
    attach: (model, scope, options) => {
      const places = placesOf(model);
      const note: Around<'attn'> = (x, next, { pass }) => {
        if (!pass.get(read)) pass.put(read, x);
        return next(x);
      };
      return {
        around: {
          block: new Map(
            [...places.keys()].map((path) => [path, around(scope.at(`${path}.coda`), model.widthAt(path), options)]),
          ),
          attn: new Map([...places.values()].map((path) => [path, note])),
        },
      };
    },
  },
  files: { peftType: 'PEFTJS_CODA' },
  card: {
    about: 'a bottleneck beside each layer, through which only some tokens go',
    paper: {
      authors: 'Lei et al.',
      year: 2023,
      title: 'Conditional Adapters: Parameter-efficient Transfer Learning with Fast Inference',
      url: 'https://arxiv.org/abs/2304.04947',
    },
    learningRate: 1e-3,
  },
});
