import { count, defineMethod, eachSite, type MethodFactory, normal, type Option, rate, type Scope } from '@peftjs/core';
import { add, cast, constant, equal, gather, matmul, mul, PeftError, pad, sub, sum, type Tensor } from '@peftjs/tensor';
import { type Around, type Call, type Slot, slot } from '@peftjs/transformer';

/** Options of `pasta`. */
export interface PastaOptions {
  /** Ids of the special tokens: [CLS] and [SEP] of the tokenizer. */
  readonly tokens: readonly number[];
  /** Special tokens of a text that have a vector of their own, counted from its beginning; later ones have none. Default 3. */
  readonly count?: number;
  /** Probability that a value of a vector is dropped while training. Default 0.1. */
  readonly dropout?: number;
}

const tokenIds: Option<readonly number[]> = {
  key: 'special_tokens',
  fallback: () => [],
  expected: 'a list of different token ids, one at least',
  accepts: (v) =>
    Array.isArray(v) &&
    v.length > 0 &&
    new Set(v).size === v.length &&
    v.every((id) => Number.isSafeInteger(id) && id >= 0),
};

/** i32 [batch, tokens]: the number of each token among the special ones of its text, −1 for others; by tower. */
const numbers: Slot<Map<string, Tensor>> = slot('pasta.numbers');

/** The special tokens of a pass, counted on where it continues a text in a cache. */
const numbersIn = ({ pass, tower }: Call, tokens: readonly number[]): Tensor => {
  const ids = pass.inputs[tower.reads.ids];
  if (!ids)
    throw new PeftError(
      'bad-option',
      `pasta: the inputs have no column ${tower.reads.ids}, by which special tokens are found`,
    );
  const [batch, length] = ids.shape as readonly [number, number];
  const special = tokens.map((id) => equal(ids, constant(Int32Array.of(id), []))).reduce((a, b) => add(a, b));
  const upTo = constant(
    Float32Array.from({ length: length * length }, (_, i) => Number(i % length >= Math.floor(i / length))),
    [length, length],
  );
  const name = `pasta.${tower.name}.${tokens.join('.')}`;
  const before = pass.recall(name, [batch, 1]);
  const counted = matmul(special, upTo); // [batch, tokens]
  const all = before ? add(counted, before) : counted;
  const here = sum(special, { axes: [1], keepDims: true });
  pass.keep(name, before ? add(here, before) : here);
  // The first special token has number 0; what is none has −1.
  return cast(sub(mul(all, special), 1), { dtype: 'i32' });
};

/** The same for the rows at a site: rows in front of the tokens are none of them. */
const numbersAt = (call: Call, rows: number, tokens: readonly number[]): Tensor => {
  const known = call.pass.get(numbers) ?? new Map<string, Tensor>();
  call.pass.put(numbers, known);
  const key = `${call.tower.name} ${tokens.join('.')}`;
  const own = known.get(key) ?? numbersIn(call, tokens);
  known.set(key, own);
  const front = rows - own.shape[1]!;
  if (front === 0) return own;
  const shifted = pad(add(own, constant(Int32Array.of(1), [])), { axis: 1, before: front, after: 0 });
  return sub(shifted, constant(Int32Array.of(1), []));
};

const atSpecials = (
  own: Scope,
  dim: number,
  { tokens, count: most, dropout }: Required<PastaOptions>,
): Around<'block'> => {
  const vectors = own.param('special_token_embedding', [most, dim], normal(0.02));
  return (x, next, call) => {
    // Numbers outside of the table give zeros.
    const added = gather(vectors, numbersAt(call, x.shape[1]!, tokens));
    return next(add(x, own.dropout(added, dropout)));
  };
};

/**
 * PASTA: h ← h + dropout(e_j) before each layer, for the j-th special token of a text alone, with e [count, d] of each layer from N(0, 0.02²); other tokens stay as they are. So d values for each special token and
 * layer are trained. Depends on the tokens, so it does not merge. Throws `bad-option`.
 * Yang, Huang, Chen & Chen, 2022. https://arxiv.org/abs/2210.04433. As the authors' code has it, https://github.com/luka-group/PASTA
 */
export const pasta: MethodFactory<PastaOptions> = defineMethod<PastaOptions>({
  name: 'pasta',
  formula: {
    merges: false,
    options: { tokens: tokenIds, count: count('num_special_tokens', 3), dropout: rate('dropout', 0.1) },
    attach: (model, scope, options) => {
      if (options.tokens.length === 0)
        throw new PeftError('bad-option', 'pasta: there are no tokens; give the ids of special ones: [CLS] and [SEP]');
      if (model.towers.some(({ reads }) => reads.picture))
        throw new PeftError(
          'bad-option',
          'pasta: adds to special tokens of texts, and this model reads pictures; use ssf or lora',
        );
      return eachSite(model, scope, 'block', (own, path) => atSpecials(own, model.widthAt(path), options));
    },
  },
  files: { peftType: 'PEFTJS_PASTA' },
  card: {
    about: 'vectors added to special tokens before each layer',
    paper: {
      authors: 'Yang et al.',
      year: 2022,
      title: 'Parameter-Efficient Tuning with Special Token Adaptation',
      url: 'https://arxiv.org/abs/2210.04433',
    },
    learningRate: 2.5e-4,
  },
});
