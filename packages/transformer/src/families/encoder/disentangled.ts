import {
  add,
  broadcastTo,
  cast,
  constant,
  gather,
  matmul,
  mul,
  reshape,
  type Tensor,
  takeAlongAxis,
  transpose,
} from '@peftjs/tensor';
import type { AttendOptions, Forward } from '../../forward.ts';
import { splitHeads } from '../../heads.ts';
import type { Path } from '../../sites.ts';
import { placesByDistance } from '../places-by-distance.ts';
import type { Disentangled, EncoderConfig } from './config.ts';
import type { BlockPaths } from './record.ts';

/** The modules of the encoder that hold what all blocks share. */
export interface DisentangledPaths {
  /** The table of relative positions: [2 · span, hidden]. */
  readonly table: Path;
  /** The norm of its rows. */
  readonly norm: Path;
  /** The names of the layers that make keys and queries of its rows. Default `pos_key_proj`, `pos_query_proj`. */
  readonly layers?: readonly [key: string, query: string];
  /** Whether the first of them has a bias. Default true. */
  readonly keyBias?: boolean;
}

/** Relative positions that have rows of their own, to either side. */
export const spanOf = ({ buckets, maxDistance }: Disentangled): number => (buckets > 0 ? buckets : maxDistance);

/**
 * The bucket of a key `distance` rows before a query: exact near by, growing with the distance's logarithm up to `maxDistance`; without buckets the
 * distance. In f32, as the reference rounds there. transformers, `make_log_bucket_position`.
 */
const bucketOf = (distance: number, { buckets, maxDistance }: Disentangled): number => {
  const middle = Math.floor(buckets / 2);
  const far = Math.abs(distance);
  if (buckets <= 0 || maxDistance <= 0 || far <= middle) return distance;
  const { fround, log } = Math;
  const share = fround(fround(log(fround(far / middle))) / fround(log(fround((maxDistance - 1) / middle))));
  return Math.sign(distance) * (Math.ceil(fround(share * (middle - 1))) + middle);
};

/** The row of the table for a key so many rows before a query. */
const rowOf = (distance: number, of: Disentangled): number => {
  const span = spanOf(of);
  return Math.min(2 * span - 1, Math.max(0, bucketOf(distance, of) + span));
};

/** A distance either way beyond which all have the same row; at most four of the longest texts, as no pass has more rows. */
const mostOf = (of: Disentangled, { maxPositions }: EncoderConfig): number => {
  let most = 1;
  while (most < 4 * maxPositions && (rowOf(most, of) < 2 * spanOf(of) - 1 || rowOf(-most, of) > 0)) most++;
  return most;
};

/** f32 [2·most + 1, 1]: those rows by how far a key lies after a query. */
const rowsByDistance = (of: Disentangled, config: EncoderConfig): Tensor => {
  const most = mostOf(of, config);
  return constant(
    Float32Array.from({ length: 2 * most + 1 }, (_, i) => rowOf(most - i, of)),
    [2 * most + 1, 1],
  );
};

/** The rows of the table for each pair of a query and a key, the last of which are the queries': i32 [queries, keys]. */
const rowsOf = (byDistance: Tensor, queries: number, keys: number): Tensor => {
  const places = placesByDistance(queries, keys, (byDistance.shape[0]! - 1) / 2);
  return cast(reshape(gather(byDistance, places), [queries, keys]), { dtype: 'i32' });
};

/** The layers that make keys and queries of relative positions: those of the content, where they are shared. */
const projections = (
  { sharedKeys }: Disentangled,
  { layers: [keys, queries] = ['pos_key_proj', 'pos_query_proj'] }: DisentangledPaths,
  { query, key }: BlockPaths,
): readonly [key: Path, query: Path] => {
  if (sharedKeys) return [key, query];
  const own = (path: Path, name: string): Path => path.replace(/\w+$/, name);
  return [own(key, keys), own(query, queries)];
};

/** The paths of a block's layers of its own for positions, and whether they have biases. */
export const positionLayers = (
  of: Disentangled,
  paths: DisentangledPaths,
  block: BlockPaths,
): readonly (readonly [path: Path, bias: boolean])[] => {
  const [key, query] = projections(of, paths, block);
  if (of.sharedKeys) return [];
  return [
    ...(of.contentToPosition ? [[key, paths.keyBias ?? true] as const] : []),
    ...(of.positionToContent ? [[query, true] as const] : []),
  ];
};

/** The rows of the table as all blocks read them: [1, 2 · span, hidden]. */
const tableOf = (of: Disentangled, { table, norm }: DisentangledPaths, forward: Forward): Tensor => {
  const weights = forward.weights(table);
  const rows = reshape(weights, [1, ...weights.shape]);
  return of.normed ? forward.norm(norm, rows) : rows;
};

/**
 * How scores are made where positions and contents attend apart: (q·k + q·posKey[q − k] + k·posQuery[q − k]) / √(headDim · terms), both position
 * terms optional. He et al., 2020, https://arxiv.org/abs/2006.03654; He, Gao & Chen, 2021, https://arxiv.org/abs/2111.09543; transformers,
 * `DisentangledSelfAttention`.
 */
export const disentangled = (
  of: Disentangled,
  config: EncoderConfig,
  paths: DisentangledPaths,
  forward: Forward,
): ((block: BlockPaths, q: Tensor) => AttendOptions) => {
  const { heads, headDim } = config;
  const { contentToPosition, positionToContent } = of;
  const scale = 1 / Math.sqrt(headDim * (1 + Number(contentToPosition) + Number(positionToContent)));
  if (!of.relative) return () => ({ scale });
  const table = tableOf(of, paths, forward);
  const byDistance = rowsByDistance(of, config);
  const made = new Map<string, Tensor>();
  const rowsFor = (queries: number, keys: number): Tensor => {
    const sizes = `${queries} ${keys}`;
    return made.get(sizes) ?? made.set(sizes, rowsOf(byDistance, queries, keys)).get(sizes)!;
  };
  return (block, q) => {
    const [keyPath, queryPath] = projections(of, paths, block);
    const position = (path: Path): Tensor => splitHeads(forward.linear(path, table), headDim); // [1, heads, 2·span, headDim]
    const [batch] = q.shape as readonly [number, ...number[]];
    const taken = (scores: Tensor, at: Tensor): Tensor =>
      takeAlongAxis(scores, broadcastTo(at, [batch, heads, ...at.shape]), { axis: 3 });
    const bias = (queries: number, keys: number, k: Tensor): Tensor => {
      const rows = rowsFor(queries, keys);
      const own = (x: Tensor, path: Path): Tensor => matmul(x, position(path), { transposeB: true });
      const terms = [
        ...(contentToPosition ? [taken(own(q, keyPath), rows)] : []),
        ...(positionToContent ? [transpose(taken(own(k, queryPath), transpose(rows, [1, 0])), [0, 1, 3, 2])] : []),
      ];
      return mul(
        terms.reduce((a, b) => add(a, b)),
        scale,
      );
    };
    return { scale, ...(contentToPosition || positionToContent ? { bias, ofContent: true } : {}) };
  };
};
