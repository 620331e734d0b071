import type { ModelConfig } from '@peftjs/io';
import {
  add,
  attention,
  broadcastTo,
  cast,
  concat,
  constant,
  PeftError,
  reshape,
  sameShape,
  shapeError,
  slice,
  type Tensor,
} from '@peftjs/tensor';
import type { ForwardOptions } from './causal-lm.ts';
import type { Parts } from './parts.ts';
import { positionRows, type RowsOf } from './position-rows.ts';
import type { KeyValue, Pass, Path, SiteCore, SiteName } from './sites.ts';
import { runAround } from './sites.ts';

/** What an architecture's layers use of one forward pass. */
export interface Forward {
  /** `core` with the middlewares of a site and path around it; `stream` is what its output is added to. */
  at<S extends SiteName>(site: S, path: Path, layer: number | null, core: SiteCore<S>, stream?: Tensor): SiteCore<S>;
  linear(path: Path, x: Tensor): Tensor;
  norm(path: Path, layer: number | null, x: Tensor): Tensor;
  /** Causal attention of q [B,H,T,D] over this pass's keys and values, the cache's, and those that methods add: [B,H,T,D]. */
  attend(path: Path, layer: number, q: Tensor, own: KeyValue): Tensor;
  /**
   * A row of a table for each row of the pass, by its position: [rows, D] or [batch, rows, D]. `available`: the rows that the table has,
   * by default as many as are wanted. Throws `bad-option` where more are needed.
   */
  positionRows(rowsOf: RowsOf, available?: number): Tensor;
}

const passOf = (ids: Tensor, options: ForwardOptions): Pass => {
  const { keyMask, positions, cache } = options;
  const [batch, tokens] = ids.shape as readonly [number, number];
  if (keyMask && (keyMask.shape.length !== 2 || keyMask.shape[0] !== batch))
    throw shapeError('keyMask', [keyMask], `must be f32 [batch, keys] with batch ${batch}`);
  return {
    ids,
    batch,
    tokens,
    keyMask: keyMask ?? null,
    positions: positions ?? null,
    continues: cache?.continues ?? false,
    options,
  };
};

/**
 * The mask with one more column in front for each key that methods put there: 1, or whether the sequence has it. Null keeps all keys.
 */
const widenMask = (
  { keyMask, batch }: Pass,
  present: Tensor | null,
  { keys, added }: { readonly keys: number; readonly added: number },
  path: Path,
): Tensor | null => {
  if (!keyMask && (!present || added === 0)) return null;
  const ones = (count: number): Tensor => broadcastTo(constant(Float32Array.of(1), []), [batch, count]);
  const mask = keyMask ?? ones(keys - added);
  const columns = keys - mask.shape[1]!;
  if (columns < 0)
    throw shapeError(
      `keyMask at ${path}`,
      [mask],
      `there are only ${keys} keys; the mask must have one entry per token`,
    );
  if (columns === 0) return mask;
  const front = present
    ? broadcastTo(reshape(cast(present, { dtype: 'f32' }), [batch, 1]), [batch, columns])
    : ones(columns);
  return concat(front, mask, { axis: 1 });
};

/** Embeds the tokens and gives what the layers of this pass use; `prepended` rows stand before the tokens' in x [B, prepended + T, d]. */
export const forwardOf = (
  embedPath: Path,
  parts: Parts,
  ids: Tensor,
  options: ForwardOptions,
  config: ModelConfig,
): { readonly forward: Forward; readonly x: Tensor; readonly prepended: number } => {
  if (parts.batchSize !== null && ids.shape[0] !== parts.batchSize)
    throw shapeError('model', [ids], `this view takes batches of ${parts.batchSize} sequences`);
  const pass = passOf(ids, options);
  const at: Forward['at'] = (site, path, layer, core, stream) =>
    runAround(parts.around[site]?.get(path) ?? [], core, { path, layer, stream: stream ?? null, pass });
  const x = at('embed', embedPath, null, (tokens) => parts.embeddings.get(embedPath)!.apply(tokens))(ids);
  const prepended = x.shape.length === 3 ? x.shape[1]! - pass.tokens : -1;
  if (prepended < 0 || x.shape[0] !== pass.batch || x.shape[2] !== config.hiddenSize)
    throw shapeError('embed', [x], `must give [${pass.batch}, ${pass.tokens} or more, ${config.hiddenSize}]`);
  if (parts.present && !(sameShape(parts.present.shape, [pass.batch]) && parts.present.dtype === 'i32'))
    throw shapeError('present', [parts.present], `must be i32 [${pass.batch}], one entry for each sequence`);
  const inCache = pass.continues ? prepended : 0;

  const attend: Forward['attend'] = (path, layer, q, own) => {
    let known = own.k.shape[2]!;
    const through = (kv: KeyValue): KeyValue => {
      const all = options.cache ? options.cache.append(path, kv) : kv;
      known = all.k.shape[2]!;
      return all;
    };
    const { k, v } = at('kv', path, layer, through)(own);
    const keys = k.shape[2]!;
    const mask = widenMask(pass, parts.present, { keys, added: keys - known + prepended }, path);
    const start = options.cache?.offset;
    const offset = start && (keys > known ? add(start, constant(Int32Array.of(keys - known), [])) : start);
    return attention(q, k, v, {
      causal: true,
      ...(mask && { keyMask: mask }),
      ...(offset && { offset }),
    });
  };

  if (pass.continues && !pass.positions)
    throw new PeftError(
      'bad-option',
      'model: a pass that continues a cache needs positions, as it cannot know how many tokens came before',
    );
  const places = {
    ...pass,
    prepended,
    shift: parts.positionShift,
    present: parts.present,
    limit: options.positionLimit ?? null,
    maxPositions: config.maxPositions,
  };
  const forward: Forward = {
    at,
    linear: (path, h) => parts.linears.get(path)!.apply(h),
    norm: (path, layer, h) => at('norm', path, layer, (y) => parts.norms.get(path)!.apply(y))(h),
    attend,
    positionRows: (rowsOf, available = Number.POSITIVE_INFINITY) => positionRows(rowsOf, available, places),
  };
  return {
    forward,
    x: inCache > 0 ? slice(x, { axis: 1, start: inCache, end: x.shape[1]! }) : x,
    prepended: prepended - inCache,
  };
};
