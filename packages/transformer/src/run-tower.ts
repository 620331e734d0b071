import { recomputed } from '@peftjs/autograd';
import {
  add,
  attention,
  broadcastTo,
  cast,
  concat,
  constant,
  mul,
  PeftError,
  reshape,
  sameShape,
  shapeError,
  slice,
  type Tensor,
} from '@peftjs/tensor';
import { biasedAttention } from './biased-attention.ts';
import { documentsOf, perQueryHead } from './documents.ts';
import type { PassOptions } from './model.ts';
import { linearOf, type Parts } from './parts.ts';
import type { Call, Pass, Sequence } from './pass.ts';
import { positionRows, type RowsOf, tableRows } from './position-rows.ts';
import { sequenceOf } from './sequence-of.ts';
import { type KeyValue, type Path, runAround, type SiteCore, type SiteName } from './sites.ts';
import type { Inputs } from './states.ts';
import { layerOf, type TowerSpec, towerOf } from './tower-spec.ts';

/** A tower that later ones read. */
export interface Before {
  /** [batch, rows, d]: its states, with the rows that methods put in front; null in a pass that continues, which finds in its cache what was made of them. */
  readonly rows: Tensor | null;
  /** f32 [batch, tokens]: 1 for tokens, 0 for what is hidden; null where nothing is. */
  readonly mask: Tensor | null;
  /** Tokens, without the rows in front. */
  readonly tokens: number;
}

/** A tower that ran in this pass. */
export interface Ran extends Before {
  /** [batch, tokens, d] */
  readonly states: Tensor;
  readonly rows: Tensor;
}

/** How scores of attention become weights. */
export interface AttendOptions {
  /** Factor of the scores. Default 1/√headDim. */
  readonly scale?: number;
  /** How many rows a row sees at most, itself and those right before it, in a tower that attends to what came before. Default all. */
  readonly window?: number;
  /** How many rows a row sees at most to either side, in a tower that attends to all. Default all. */
  readonly reach?: number;
  /** Scaled scores become softCap · tanh(score / softCap). Default: they stay as they are. */
  readonly softCap?: number;
  /** f32 [heads]: a score of each head beside those of all keys, whose value is zeros. Default none. */
  readonly sinks?: Tensor;
  /**
   * Added to the scores of so many queries and keys k: [1 or B, H, 1 or queries, keys]. `first` i32 []: the first query's row among the keys; null where
   * theirs are the last. `mask` f32 [batch, keys]; null where no key is hidden.
   */
  readonly bias?: (queries: number, keys: number, k: Tensor, first: Tensor | null, mask: Tensor | null) => Tensor;
}

/** The parts of one forward pass that an architecture's layers use. */
export interface Forward {
  readonly pass: Pass;
  readonly sequence: Sequence;
  /** The named inputs of the pass. */
  readonly inputs: Inputs;
  /** `core` with the middlewares of a site and path around it; `stream` is what its output is added to. */
  at<S extends SiteName>(site: S, path: Path, core: SiteCore<S>, stream?: Tensor): SiteCore<S>;
  linear(path: Path, x: Tensor): Tensor;
  norm(path: Path, x: Tensor): Tensor;
  /** Rows [rows, inDim], each through the expert that i32 [rows] says. */
  experts(path: Path, x: Tensor, index: Tensor): Tensor;
  /** The embedding of whole numbers, without its site. */
  embedding(path: Path, ids: Tensor): Tensor;
  /** The table of an embedding: [rows, dim]. */
  weights(path: Path): Tensor;
  /** Attention of q [B,H,T,D] over this pass's keys and values, the cache's, and those that methods add: [B,H,T,D]. */
  attend(path: Path, q: Tensor, own: KeyValue, options?: AttendOptions): Tensor;
  /**
   * The same over keys and values made of the rows of an earlier tower, once for all passes that a cache joins; by the linear layers that `make` is given, which are told of that tower's
   * sequence.
   */
  attendTo(
    tower: string,
    path: Path,
    q: Tensor,
    make: (rows: Tensor, linear: Forward['linear']) => KeyValue,
    options?: AttendOptions,
  ): Tensor;
  /**
   * A row of a table for each row of the pass, by its position: [rows, D] or [batch, rows, D]. `available`: the rows that the table has,
   * by default as many as are wanted. Throws `bad-option` where more are needed.
   */
  positionRows(rowsOf: RowsOf, available?: number): Tensor;
}

/** Refuses constant ids that the table of tokens has not: it has zeros for them. Ids that are fed are checked where they come from. Throws `bad-data`. */
const checkConstantIds = (name: string, ids: Tensor, rows: number): void => {
  if (ids.node.kind !== 'constant') return;
  const { data } = ids.node;
  const at = data.findIndex((id: number) => id < 0 || id >= rows);
  if (at < 0) return;
  const length = ids.shape.at(-1)!;
  throw new PeftError(
    'bad-data',
    `model: ${name} has ${data[at]} in row ${Math.floor(at / length)} at ${at % length}; the ids of this vocabulary are 0 to ${rows - 1}`,
  );
};

/**
 * The mask with one more column in front for each key that methods put there: 1, or whether the sequence has it. Null keeps all keys.
 */
const widenMask = (
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

/**
 * The encoder beside a decoder that continues a cache: all that is known of it is its mask. Throws `bad-option` where that is missing.
 */
export const skippedTower = ({ name, reads }: TowerSpec, inputs: Inputs): Before => {
  const mask = inputs[reads.mask];
  if (!mask)
    throw new PeftError(
      'bad-option',
      `model: a pass that continues a cache does not run the ${name}, but needs its ${reads.mask}; give that of the first pass`,
    );
  return { rows: null, mask, tokens: mask.shape[1]! };
};

/** The pass as a tower sees it: one that stands alone has sequences of its own. Throws `bad-shape` where rows in front are there for some of another number of sequences. */
export const passOf = ({ name, alone, reads }: TowerSpec, pass: Pass, inputs: Inputs, { present }: Parts): Pass => {
  if (!alone) return pass;
  const batch = inputs[reads.ids]!.shape[0] ?? 0;
  if (present && present.shape[0] !== batch)
    throw shapeError('present', [present], `must have an entry for each of the ${batch} sequences of the ${name}`);
  return { ...pass, batch };
};

/**
 * Runs one tower over its inputs: its states, without the rows that were put in front. `options`: the pass's own; positions and the cache for its
 * main tower alone.
 */
export const runTower = (
  spec: TowerSpec,
  parts: Parts,
  whole: Pass,
  inputs: Inputs,
  before: ReadonlyMap<string, Before>,
  options: PassOptions,
): Ran => {
  const pass = passOf(spec, whole, inputs, parts);
  const given = sequenceOf(spec, inputs, pass, options);
  const documents = documentsOf(spec, inputs, options, before.size === 0 && !spec.alone);
  const sequence = documents ? { ...given, positions: documents.positions } : given;
  const { batch } = pass;
  const tower = towerOf(spec);
  const callAt = (path: Path, stream: Tensor | null, attended: Tensor | null = null, over = sequence): Call => ({
    pass,
    path,
    tower,
    sequence: over,
    layer: layerOf(spec, path),
    stream,
    attended,
    linear: (of, x) => linearOf(parts, of).apply(x, callAt(of, null, null, over)),
  });
  const attended = new Map<Path, Tensor>();
  const at: Forward['at'] = (site, path, core, stream) => {
    const isAttention = site === 'attn' || site === 'cross';
    const noting: typeof core = (x) => {
      if (isAttention) attended.set(path, x as Tensor);
      return core(x);
    };
    const rows = site === 'heads' || site === 'kv' || site === 'crossKv' ? attended.get(path) : undefined;
    return runAround(parts.around[site]?.get(path) ?? [], noting, callAt(path, stream ?? null, rows));
  };
  const linear: Forward['linear'] = (path, h) => parts.linears.get(path)!.apply(h, callAt(path, null));
  const embedding: Forward['embedding'] = (path, ids) => parts.embeddings.get(path)!.apply(ids, callAt(path, null));

  const [embedPath] = spec.paths.embed as readonly [Path];
  const { tokenScale = 1, tokenTable, picture } = spec;
  const weights: Forward['weights'] = (path) => parts.embeddings.get(path)!.weight;
  const norm: Forward['norm'] = (path, h) =>
    at('norm', path, (y) => parts.norms.get(path)!.apply(y, callAt(path, null)))(h);
  const embed = (read: Tensor): Tensor => {
    if (picture) return picture.embed(read, { linear, norm, weights });
    checkConstantIds(spec.reads.ids, read, parts.embeddings.get(tokenTable!)!.rows);
    const rows = embedding(tokenTable!, read);
    return tokenScale === 1 ? rows : mul(rows, tokenScale);
  };
  const embedded = at('embed', embedPath, embed)(inputs[spec.reads.ids]!);
  const width =
    tokenTable === null ? (spec.widthAt?.(embedPath) ?? spec.hiddenSize) : parts.embeddings.get(tokenTable)!.dim;
  const prepended = embedded.shape.length === 3 ? embedded.shape[1]! - sequence.tokens : -1;
  if (prepended < 0 || embedded.shape[0] !== batch || embedded.shape[2] !== width)
    throw shapeError('embed', [embedded], `must give [${batch}, ${sequence.tokens} or more, ${width}]`);
  if (prepended > 0 && !tower.takesRows)
    throw new PeftError(
      'bad-option',
      `model: a method puts rows in front of those of the ${spec.name}, whose attention is within windows of a picture; use a method of layers or blocks`,
    );
  if (documents && prepended > 0)
    throw new PeftError(
      'bad-option',
      'model: a method puts rows in front of the tokens, which the documents of a row would share; give rows of one text each',
    );
  const inCache = sequence.continues ? prepended : 0;

  const attend: Forward['attend'] = (path, queries, own, { bias, reach, ...given } = {}) => {
    const width = queries.shape.at(-1)!;
    // A method may lengthen queries and keys: scores keep the factor of the heads' own size.
    const how = { ...given, scale: given.scale ?? 1 / Math.sqrt(width) };
    return at('heads', path, (q) => {
      let known = own.k.shape[2]!;
      const through = (kv: KeyValue): KeyValue => {
        const all = options.cache ? options.cache.append(path, kv) : kv;
        known = all.k.shape[2]!;
        return all;
      };
      const { k, v } = at('kv', path, through)(own);
      const keys = k.shape[2]!;
      const mask = widenMask(sequence.mask, batch, parts.present, { keys, added: keys - known + prepended }, path);
      const causal = spec.attends === 'before';
      const start = options.cache?.offset ?? null;
      const offset = start && (keys === known ? start : add(start, constant(Int32Array.of(keys - known), [])));
      if (bias || reach !== undefined || documents) {
        const plain = k.shape[3] === width ? k : slice(k, { axis: 3, start: 0, end: width });
        const added = bias ? bias(q.shape[2]!, keys, plain, offset, mask) : null;
        const apart = (x: Tensor): Tensor => (documents ? perQueryHead(x, q.shape[1]!) : x);
        return biasedAttention(q, apart(k), apart(v), {
          ...how,
          causal,
          first: offset,
          keyMask: mask,
          pairs: documents?.sees(keys) ?? null,
          bias: added,
          ...(reach !== undefined && { reach }),
        });
      }
      return attention(q, k, v, { ...how, causal, ...(mask && { keyMask: mask }), ...(offset && { offset }) });
    })(queries);
  };

  const attendTo: Forward['attendTo'] = (name, path, q, make, { bias, ...how } = {}) => {
    const { rows: theirs, mask, tokens } = before.get(name)!;
    const { cache } = options;
    const stored = theirs ? null : cache!.cross(path, null);
    const through = (kv: KeyValue): KeyValue => stored ?? (cache ? cache.cross(path, kv) : kv);
    const over: Sequence = { tower: name, tokens, mask, positions: null, continues: false };
    const ofTheirs: Forward['linear'] = (of, x) => parts.linears.get(of)!.apply(x, callAt(of, null, null, over));
    const { k, v } = at('crossKv', path, through)(stored ?? make(theirs!, ofTheirs));
    const keys = k.shape[2]!;
    const keyMask = widenMask(mask, batch, parts.present, { keys, added: keys - tokens }, path);
    return bias
      ? biasedAttention(q, k, v, {
          ...how,
          causal: false,
          keyMask,
          bias: bias(q.shape[2]!, keys, k, null, keyMask),
        })
      : attention(q, k, v, { ...how, causal: false, ...(keyMask && { keyMask }) });
  };

  if (sequence.continues && !sequence.positions)
    throw new PeftError(
      'bad-option',
      'model: a pass that continues a cache needs positions, as it cannot know how many tokens came before',
    );
  const places = {
    ...sequence,
    batch,
    prepended,
    shift: parts.positionShift,
    present: parts.present,
    limit: options.positionLimit ?? (documents ? sequence.tokens : null),
    maxPositions: spec.maxPositions,
  };
  const forward: Forward = {
    pass,
    sequence,
    inputs,
    at,
    linear,
    norm,
    experts: (path, x, index) => parts.experts.get(path)!.apply(x, index, callAt(path, null)),
    embedding,
    weights,
    attend,
    attendTo,
    positionRows: (rowsOf, available = Number.POSITIVE_INFINITY) => positionRows(rowsOf, available, places),
  };

  const rows = inCache > 0 ? slice(embedded, { axis: 1, start: inCache, end: embedded.shape[1]! }) : embedded;
  const table = spec.positionTable === null ? null : parts.embeddings.get(spec.positionTable)!.weight;
  const wide = spec.widen ? spec.widen(forward, rows) : rows;
  const placed = table ? add(wide, tableRows(table, inputs[spec.reads.ids]!, spec, places)) : wide;
  const first = spec.start ? spec.start(forward, placed) : placed;
  const layer = spec.layers(forward);
  const blocks = spec.paths.block ?? [];
  const last = (spec.order ?? blocks.map((_, i) => i)).reduce((h, i) => {
    const run = at('block', blocks[i]!, (y) => layer(y, i));
    const y = options.recompute ? recomputed(run)(h) : run(h);
    return spec.after ? spec.after(forward, y, i) : y;
  }, first);
  const y = at('head', spec.paths.head![0]!, (h) => spec.finish(forward, h))(last);
  const front = prepended - inCache;
  const states = front > 0 ? slice(y, { axis: 1, start: front, end: y.shape[1]! }) : y;
  return { states, rows: y, mask: sequence.mask, tokens: sequence.tokens };
};

/** How many sequences a pass has: as many as its first input, or, where towers stand side by side, as that of the main one. Throws `bad-shape` where a view takes another number, or `present` does not fit. */
export const batchOf = (inputs: Inputs, main: TowerSpec, { batchSize, present }: Parts): number => {
  const first = main.alone ? inputs[main.reads.ids] : Object.values(inputs)[0];
  const batch = first?.shape[0] ?? 0;
  if (batchSize !== null && batch !== batchSize)
    throw shapeError('model', first ? [first] : [], `this view takes batches of ${batchSize} sequences`);
  if (present && !(sameShape(present.shape, [batch]) && present.dtype === 'i32'))
    throw shapeError('present', [present], `must be i32 [${batch}], one entry for each sequence`);
  return batch;
};
