import {
  add,
  attention,
  broadcastTo,
  cast,
  concat,
  constant,
  reshape,
  shapeError,
  slice,
  type Tensor,
} from '@peftjs/tensor';
import { biasedAttention } from './biased-attention.ts';
import type { Documents } from './documents.ts';
import type { Forward } from './forward.ts';
import type { PassOptions } from './model.ts';
import type { Parts } from './parts.ts';
import type { Sequence } from './pass.ts';
import { attendAlone, type RowsAlone } from './rows-alone.ts';
import type { KeyValue, Path } from './sites.ts';
import type { Before } from './tower-pass.ts';

/** Keys and values by the attention's path. */
export type Known = Map<Path, KeyValue>;

/** The mask with one more column in front for each key that methods put there: 1, or whether the sequence has it. Null keeps all keys. */
export const widenMask = (
  mask: Tensor | null,
  batch: number,
  present: Tensor | null,
  { keys, added }: { readonly keys: number; readonly added: number },
  path: Path,
): Tensor | null => {
  if (!mask && (!present || added === 0)) return null;
  const ones = (count: number): Tensor => broadcastTo(constant(Float32Array.of(1), []), [batch, count]);
  const own = mask ?? ones(keys - added);
  const columns = keys - own.shape[1]!;
  if (columns < 0)
    throw shapeError(`mask at ${path}`, [own], `there are only ${keys} keys; the mask must have one entry per token`);
  if (columns === 0) return own;
  const front = present
    ? broadcastTo(reshape(cast(present, { dtype: 'f32' }), [batch, 1]), [batch, columns])
    : ones(columns);
  return concat(front, own, { axis: 1 });
};

/** The pass of a tower that its attention is part of. */
export interface AttendIn {
  readonly batch: number;
  readonly parts: Parts;
  readonly options: PassOptions;
  readonly sequence: Sequence;
  /** Whether a row sees those before it alone. */
  readonly causal: boolean;
  /** The texts of a row, which see nothing of each other; null where a row is one. */
  readonly documents: Documents | null;
  /** The rows that alone are gone over; null for all. */
  readonly alone: RowsAlone | null;
  /** Given the keys and values of each attention; null where nobody asks for them. */
  readonly noted: Known | null;
  /** Rows that methods put in front of the tokens. */
  readonly prepended: () => number;
  readonly at: Forward['at'];
}

/** Attention of a tower over its own rows, with what methods wrap around heads, keys and values. */
export const attendIn = ({
  batch,
  parts,
  options,
  sequence,
  causal,
  documents,
  alone,
  noted,
  prepended,
  at,
}: AttendIn): Forward['attend'] => {
  const { cache } = options;
  return (path, queries, own, given = {}) => {
    const width = queries.shape.at(-1)!;
    // A method may lengthen queries and keys: scores keep the factor of the heads' own size.
    const how = { ...given, scale: given.scale ?? 1 / Math.sqrt(width) };
    return at('heads', path, (q) => {
      let known = own.k.shape[2]!;
      const through = (kv: KeyValue): KeyValue => {
        const all = alone?.all?.get(path) ?? (cache ? cache.append(path, kv) : kv);
        noted?.set(path, all);
        known = all.k.shape[2]!;
        return all;
      };
      const { k, v } = at('kv', path, through)(own);
      const keys = k.shape[2]!;
      if (alone) {
        const mask = widenMask(alone.keyMask, batch, parts.present, { keys, added: keys - known }, path);
        return attendAlone(path, q, { k, v }, how, alone, { front: keys - known, mask });
      }
      const { bias, reach, ofContent: _, ...others } = how;
      const mask = widenMask(sequence.mask, batch, parts.present, { keys, added: keys - known + prepended() }, path);
      const start = cache?.offset ?? null;
      const offset = start && (keys === known ? start : add(start, constant(Int32Array.of(keys - known), [])));
      if (!bias && reach === undefined && !documents)
        return attention(q, k, v, { ...others, causal, ...(mask && { keyMask: mask }), ...(offset && { offset }) });
      const plain = k.shape[3] === width ? k : slice(k, { axis: 3, start: 0, end: width });
      return biasedAttention(q, k, v, {
        ...others,
        causal,
        first: offset,
        keyMask: mask,
        pairs: documents?.sees(keys) ?? null,
        bias: bias ? bias(q.shape[2]!, keys, plain, offset, mask, keys - known) : null,
        ...(reach !== undefined && { reach }),
      });
    })(queries);
  };
};

/** Attention of a tower over the rows of those that ran before it. `linearOver`: the linear layers, told of another tower's sequence. */
export const attendBefore =
  (
    { batch, parts, options: { cache }, at }: Pick<AttendIn, 'batch' | 'parts' | 'options' | 'at'>,
    before: ReadonlyMap<string, Before>,
    linearOver: (over: Sequence) => Forward['linear'],
  ): Forward['attendTo'] =>
  (name, path, q, make, { bias, ofContent: _, ...how } = {}) => {
    const { rows: theirs, mask, tokens } = before.get(name)!;
    const stored = theirs ? null : cache!.cross(path, null);
    const through = (kv: KeyValue): KeyValue => stored ?? (cache ? cache.cross(path, kv) : kv);
    const over: Sequence = { tower: name, tokens, mask, positions: null, continues: false };
    const { k, v } = at('crossKv', path, through)(stored ?? make(theirs!, linearOver(over)));
    const keys = k.shape[2]!;
    const keyMask = widenMask(mask, batch, parts.present, { keys, added: keys - tokens }, path);
    return bias
      ? biasedAttention(q, k, v, {
          ...how,
          causal: false,
          keyMask,
          bias: bias(q.shape[2]!, keys, k, null, keyMask, keys - tokens),
        })
      : attention(q, k, v, { ...how, causal: false, ...(keyMask && { keyMask }) });
  };
