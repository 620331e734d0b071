import {
  broadcastTo,
  checkOptions,
  concatAll,
  mustBe,
  PeftError,
  type Rules,
  reshape,
  slice,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import { type Around, type Call, type KeyValue, type Model, requireModel, slot } from '@peftjs/transformer';

/** Options of `shiftedAttention`. */
export interface ShiftedAttentionOptions {
  /** Groups of a row; twice their number divides its tokens. Default 4, the authors'. */
  readonly groups?: number;
}

const rules: Rules<ShiftedAttentionOptions> = {
  groups: mustBe.such('a whole number of at least 2', (v) => Number.isSafeInteger(v) && (v as number) >= 2),
};

/** From one place up to another. */
type Span = readonly [from: number, to: number];

/** The heads and tokens that attend to one another, in pieces of `size` tokens. */
interface Piece {
  readonly heads: Span;
  readonly tokens: Span;
  readonly size: number;
}

const within = (x: Tensor, axis: number, [start, end]: Span): Tensor => slice(x, { axis, start, end });

/** [batch, heads, tokens, d] -> [batch·pieces, its heads, size, d] */
const cut = (x: Tensor, { heads, tokens, size }: Piece): Tensor => {
  const part = within(within(x, 1, heads), 2, tokens);
  const [batch, count, length, d] = part.shape as readonly [number, number, number, number];
  const apart = transpose(reshape(part, [batch, count, length / size, size, d]), [0, 2, 1, 3, 4]);
  return reshape(apart, [(batch * length) / size, count, size, d]);
};

/** [batch·pieces, heads, size, d] -> [batch, heads, tokens, d] */
const joined = (x: Tensor, batch: number): Tensor => {
  const [rows, heads, size, d] = x.shape as readonly [number, number, number, number];
  const apart = transpose(reshape(x, [batch, rows / batch, heads, size, d]), [0, 2, 1, 3, 4]);
  return reshape(apart, [batch, heads, (rows / batch) * size, d]);
};

/** Keys or values of some of the heads of queries: each half has its own, or, where their number is odd, each head. */
const cutShared = (x: Tensor, piece: Piece, queryHeads: number): Tensor => {
  const [batch, own, keys, d] = x.shape as readonly [number, number, number, number];
  if (own % 2 === 0) {
    const [from, to] = piece.heads;
    return cut(x, { ...piece, heads: [(from * own) / queryHeads, (to * own) / queryHeads] });
  }
  const wide = broadcastTo(reshape(x, [batch, own, 1, keys, d]), [batch, own, queryHeads / own, keys, d]);
  return cut(reshape(wide, [batch, queryHeads, keys, d]), piece);
};

/** Throws `bad-option` for what groups of a row would see wrongly. */
const check = (q: Tensor, groups: number, { pass, path, sequence }: Call): void => {
  const [, heads, rows] = q.shape as readonly [number, number, number];
  const problem =
    heads % 2 > 0
      ? `has ${heads} heads, of which no half can be shifted; leave shiftedAttention out`
      : rows !== sequence.tokens
        ? 'has rows in front of the tokens, which groups would not see; take a method without'
        : rows % (2 * groups) > 0
          ? `has rows of ${rows} tokens, which ${groups} groups of an even number do not fill; give a multiple of ${2 * groups}`
          : sequence.mask || pass.inputs['documents']
            ? 'hides tokens of a row; give rows of one text each that are full, as packTokens makes them'
            : null;
  if (problem) throw new PeftError('bad-option', `shiftedAttention: ${path} ${problem}`);
};

/**
 * S²-Attn, LongLoRA's shifted sparse attention: a view of a decoder whose passes in training attend within groups of g = tokens / `groups` neighbours, half of the heads within [0, g), [g, 2g), … and the other half within
 * groups that lie g/2 later, so that what one half keeps apart the other joins; scores are g·tokens instead of tokens². No token sees a later one. Evaluation and generation attend to all, and nothing of it is saved. For rows of one text, full.
 *
 * LongQLoRA is `attach(shiftedAttention(quantize(model, nf4())), [lora({ rank: 64, target: 'all-linear' })])` of a model whose config.json has `rope_scaling` `{ "type": "linear", "factor": 2 }` for twice its length; LongLoRA trains embeddings and norms too.
 * The groups are those of the authors' code with flash attention (llama_attn_replace.py), which LongQLoRA uses as it is; without flash attention it lets the first tokens of a row see its last ones.
 * Chen, Qian, Tang, Lai, Liu, Han & Jia, 2023. https://arxiv.org/abs/2309.12307, https://github.com/dvlab-research/LongLoRA; Yang, 2023 (LongQLoRA). https://arxiv.org/abs/2311.04879
 * Throws `bad-option`, also in training: for an odd number of heads, rows that groups do not fill, masks, documents and rows in front; `no-match` for a model without a decoder's attention.
 */
export const shiftedAttention = <M extends Model>(model: M, options: ShiftedAttentionOptions = {}): M => {
  requireModel('shiftedAttention', model);
  checkOptions('shiftedAttention', rules, options);
  const { groups = 4 } = options;
  const paths = model.towers.filter(({ attends }) => attends === 'before').flatMap((tower) => tower.paths('heads'));
  if (paths.length === 0)
    throw new PeftError('no-match', 'shiftedAttention: the model has no attention to tokens that came before');
  const cutting = slot<((kv: KeyValue) => KeyValue) | null>('shifted attention');
  const heads: Around<'heads'> = (q, next, call) => {
    if (!call.pass.training) return next(q);
    check(q, groups, call);
    const [batch, count, tokens] = q.shape as readonly [number, number, number];
    const [half, size] = [count / 2, tokens / groups];
    const attend = (piece: Piece): Tensor => {
      call.pass.put(cutting, ({ k, v }) => ({ k: cutShared(k, piece, count), v: cutShared(v, piece, count) }));
      return joined(next(cut(q, piece)), batch);
    };
    const [begin, end] = [size / 2, tokens - size / 2];
    const later: Span = [half, count];
    const straight = attend({ heads: [0, half], tokens: [0, tokens], size });
    const shifted = [
      attend({ heads: later, tokens: [0, begin], size: begin }),
      attend({ heads: later, tokens: [begin, end], size }),
      attend({ heads: later, tokens: [end, tokens], size: begin }),
    ];
    call.pass.put(cutting, null);
    return concatAll([straight, concatAll(shifted, 2)], 1);
  };
  const kv: Around<'kv'> = (own, next, { pass }) => {
    const known = next(own);
    return pass.get(cutting)?.(known) ?? known;
  };
  const at = <T>(around: T): ReadonlyMap<string, readonly T[]> => new Map(paths.map((path) => [path, [around]]));
  return model.with({ around: { heads: at(heads), kv: at(kv) } });
};
