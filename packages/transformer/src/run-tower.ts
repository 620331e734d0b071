import { recomputed } from '@peftjs/autograd';
import { add, gather, mul, PeftError, shapeError, slice, type Tensor } from '@peftjs/tensor';
import { attendBefore, attendIn, type Known, widenMask } from './attend.ts';
import { documentsOf } from './documents.ts';
import type { Forward } from './forward.ts';
import type { PassOptions } from './model.ts';
import { linearOf, type Parts } from './parts.ts';
import type { Call, Pass, Sequence } from './pass.ts';
import { positionRows, tableRows } from './position-rows.ts';
import { counted, type RowsAlone, rowsOfRows } from './rows-alone.ts';
import { sequenceOf } from './sequence-of.ts';
import { type Path, runAround, type SiteCore } from './sites.ts';
import type { Inputs } from './states.ts';
import { takeRows } from './take-rows.ts';
import { type Before, passOf } from './tower-pass.ts';
import { layerOf, type TowerSpec, towerOf } from './tower-spec.ts';

/** The rows that a block goes over: of whole sequences, or some of them alone. */
interface Among {
  readonly over: Sequence;
  readonly alone: RowsAlone | null;
  layer(x: Tensor, block: number): Tensor;
}

/** A tower that ran in this pass. */
export interface Ran extends Before {
  /** [batch, tokens, d] */
  readonly states: Tensor;
  readonly rows: Tensor;
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
  const weights: Forward['weights'] = (path) => parts.embeddings.get(path)!.weight;
  const callOf = (over: Sequence, path: Path, stream: Tensor | null, attended: Tensor | null): Call => ({
    pass,
    path,
    tower,
    sequence: over,
    layer: layerOf(spec, path),
    stream,
    norm: null,
    attended,
    over: null,
    linear: (of, x) => linearOf(parts, of).apply(x, callOf(over, of, null, null)),
  });
  /** The parts of a pass over sequences, or over some rows of them alone; `noted` is given the keys and values of each attention. */
  const forwardOver = (sequence: Sequence, alone: RowsAlone | null, noted: Known | null): Forward => {
    const callAt = (path: Path, stream: Tensor | null, attended: Tensor | null = null, of = sequence): Call =>
      callOf(of, path, stream, attended);
    const attended = new Map<Path, Tensor>();
    const at: Forward['at'] = (site, path, core, stream, norm) => {
      const isAttention = site === 'attn' || site === 'cross';
      const noting: typeof core = (x) => {
        if (isAttention) attended.set(path, x as Tensor);
        return core(x);
      };
      const rows = site === 'heads' || site === 'kv' || site === 'crossKv' ? attended.get(path) : undefined;
      const call = callAt(path, stream ?? null, rows);
      return runAround(parts.around[site]?.get(path) ?? [], noting, norm ? { ...call, norm } : call);
    };
    const linear: Forward['linear'] = (path, h) => parts.linears.get(path)!.apply(h, callAt(path, null));
    const embedding: Forward['embedding'] = (path, ids) => parts.embeddings.get(path)!.apply(ids, callAt(path, null));

    const norm: Forward['norm'] = (path, h) =>
      at('norm', path, (y) => parts.norms.get(path)!.apply(y, callAt(path, null)))(h);

    const how = { batch, parts, options, at };
    const ofTower = {
      sequence,
      causal: spec.attends === 'before',
      documents,
      alone,
      noted,
      prepended: () => prepended,
    };
    const linearOver =
      (over: Sequence): Forward['linear'] =>
      (path, h) =>
        parts.linears.get(path)!.apply(h, callAt(path, null, null, over));

    return {
      pass,
      sequence,
      moved: parts,
      inputs,
      at,
      linear,
      norm,
      experts: (path, x, index) => parts.experts.get(path)!.apply(x, index, callAt(path, null)),
      embedding,
      weights,
      attend: attendIn({ ...how, ...ofTower }),
      attendTo: attendBefore(how, before, linearOver),
      positionRows: (rowsOf, available = Number.POSITIVE_INFINITY) => {
        const found = positionRows(rowsOf, available, places);
        if (!alone) return found;
        return found.shape.length === 3 ? takeRows(found, alone.rows) : gather(found, alone.rows);
      },
    };
  };

  const [embedPath] = spec.paths.embed as readonly [Path];
  const { tokenScale = 1, tokenTable, picture } = spec;
  const forward = forwardOver(sequence, null, null);
  const embed = (read: Tensor): Tensor => {
    if (picture) return picture.embed(read, forward);
    checkConstantIds(spec.reads.ids, read, parts.embeddings.get(tokenTable!)!.rows);
    const rows = forward.embedding(tokenTable!, read);
    return tokenScale === 1 ? rows : mul(rows, tokenScale);
  };
  const embedded = forward.at('embed', embedPath, embed)(inputs[spec.reads.ids]!);
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
  const rows = inCache > 0 ? slice(embedded, { axis: 1, start: inCache, end: embedded.shape[1]! }) : embedded;
  const table = spec.positionTable === null ? null : parts.embeddings.get(spec.positionTable)!.weight;
  const wide = spec.widen ? spec.widen(forward, rows) : rows;
  const placed = table ? add(wide, tableRows(table, inputs[spec.reads.ids]!, spec, places)) : wide;
  const first = spec.start ? spec.start(forward, placed) : placed;
  const layer = spec.layers(forward);
  const blocks = spec.paths.block ?? [];
  /** Some rows of what `among` goes over, with what a middleware's layer beneath needs of them. */
  const chosenOf = (x: Tensor, rows: Tensor, path: Path, { over, alone }: Among, all: Known | null): Among => {
    const total = alone?.total ?? x.shape[1]!;
    if (rows.dtype !== 'i32' || rows.shape.length !== 2 || rows.shape[0] !== batch)
      throw shapeError('over', [x, rows], `the rows must be i32 [${batch}, k], k of the ${total} of each sequence`);
    const mask = alone
      ? over.mask
      : widenMask(over.mask, batch, parts.present, { keys: total, added: prepended }, path);
    const places = alone ? rowsOfRows(alone, rows) : rows;
    const own = { ...over, tokens: rows.shape[1]!, mask: mask && takeRows(mask, rows), positions: places };
    const within: RowsAlone = all
      ? { rows: places, total, all, places: alone?.places ?? counted(0, total), keyMask: alone ? alone.keyMask : mask }
      : { rows: places, total, all, places, keyMask: own.mask };
    return { over: own, alone: within, layer: spec.layers(forwardOver(own, within, null)) };
  };
  const isApart = spec.attends === 'all' && tower.takesRows && !documents;
  const block = (i: number): SiteCore<'block'> => {
    const path = blocks[i]!;
    let now: Among = { over: sequence, alone: null, layer };
    const within = (among: Among, run: () => Tensor): Tensor => {
      const before = now;
      now = among;
      try {
        return run();
      } finally {
        now = before;
      }
    };
    const over: NonNullable<Call['over']> = (x, rows, keys, next) => {
      const outer = now;
      const all: Known | null = keys === 'all' ? new Map() : null;
      // Of this nothing is computed but what is read of it: keys and values.
      if (all) within({ ...outer, layer: spec.layers(forwardOver(outer.over, outer.alone, all)) }, () => next(x));
      return within(chosenOf(x, rows, path, outer, all), () => next(takeRows(x, rows)));
    };
    const call: Call = {
      ...callOf(sequence, path, null, null),
      get sequence() {
        return now.over;
      },
      over: isApart ? over : null,
    };
    return runAround(parts.around.block?.get(path) ?? [], (y) => now.layer(y, i), call);
  };
  const { recompute = false } = options;
  const last = (spec.order ?? blocks.map((_, i) => i)).reduce((h, i, at) => {
    const run = block(i);
    const y = recompute === true || at < Number(recompute) ? recomputed(run)(h) : run(h);
    return spec.after ? spec.after(forward, y, i) : y;
  }, first);
  const y = forward.at('head', spec.paths.head![0]!, (h) => spec.finish(forward, h))(last);
  const front = prepended - inCache;
  const states = front > 0 ? slice(y, { axis: 1, start: front, end: y.shape[1]! }) : y;
  return { states, rows: y, mask: sequence.mask, tokens: sequence.tokens };
};
