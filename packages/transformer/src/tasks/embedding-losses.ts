import {
  add,
  concat,
  constant,
  matmul,
  maximum,
  mul,
  PeftError,
  reshape,
  slice,
  sqrt,
  sub,
  sum,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import type { Loss } from '../loss.ts';
import { normalized } from '../pooling.ts';
import type { Inputs } from '../states.ts';
import { crossEntropies } from './head-loss.ts';
import { labelsOf } from './labels-of.ts';
import type { Column } from './task.ts';

/** A loss of texts' vectors. */
export interface EmbeddingLoss {
  readonly name: string;
  /** Rows that are one example: a pair, a triplet. They follow one another, so examples are shuffled, not rows. */
  readonly group: number;
  readonly columns: Readonly<Record<string, Column>>;
  /** `parts`: the vectors of the first texts of all examples, of the second ones, …: [examples, d] each. */
  of(parts: readonly Tensor[], inputs: Inputs): Loss;
}

const number = (value: number): Tensor => constant(Float32Array.of(value), []);

const requireNumber = (who: string, option: string, value: number, least: number): void => {
  if (Number.isFinite(value) && value >= least) return;
  throw new PeftError('bad-option', `${who}: ${option} must be a number of at least ${least}, got ${value}`);
};

/** Sum of a value for each example. */
const ofExamples = (losses: Tensor): Loss => ({ sum: sum(losses), weight: number(losses.shape[0]!) });

const cosines = (a: Tensor, b: Tensor): Tensor => sum(mul(normalized(a), normalized(b)), { axes: [1] });

/** A distance of vectors, row by row: [examples, d] twice -> [examples]. */
const distances = {
  cosine: (a: Tensor, b: Tensor): Tensor => sub(1, cosines(a, b)),
  euclidean: (a: Tensor, b: Tensor): Tensor => {
    const d = sub(a, b);
    return sqrt(maximum(sum(mul(d, d), { axes: [1] }), 1e-24));
  },
};

/** A distance of vectors: 1 − cosine, or the length of the difference. */
export type EmbeddingDistance = keyof typeof distances;

const requireDistance = (who: string, distance: string): void => {
  if (Object.hasOwn(distances, distance)) return;
  throw new PeftError(
    'bad-option',
    `${who}: distance must be one of ${Object.keys(distances).join(', ')}, got ${distance}`,
  );
};

/** The label of each example, of its first row: f32 [rows] -> [examples]. */
const exampleLabels = (who: string, inputs: Inputs, examples: number, group: number): Tensor => {
  const rows = labelsOf(who, inputs, [examples * group], 'f32');
  return reshape(slice(reshape(rows, [examples, group]), { axis: 1, start: 0, end: 1 }), [examples]);
};

const labels: Readonly<Record<string, Column>> = { labels: { shape: [], dtype: 'f32' } };

/**
 * Ranking by in-batch negatives: −log softmax(scale · cos(aᵢ, ·))ᵢ, where each anchor aᵢ has its own text as the right one and those of all other
 * examples of the batch as wrong ones. An example is an anchor, its text, and `negatives` texts that are wrong for it, which are among
 * the wrong ones of all. Summed over examples. `scale` default 20, `negatives` default 0. Batches of another size are another loss.
 * Henderson et al., 2017, https://arxiv.org/abs/1705.00652; sentence-transformers, `MultipleNegativesRankingLoss`. Throws `bad-option`.
 */
export const multipleNegatives = ({
  scale = 20,
  negatives = 0,
}: {
  readonly scale?: number;
  readonly negatives?: number;
} = {}): EmbeddingLoss => {
  const name = 'multipleNegatives';
  requireNumber(name, 'scale', scale, Number.MIN_VALUE);
  if (!Number.isSafeInteger(negatives) || negatives < 0 || negatives > 1000)
    throw new PeftError('bad-option', `${name}: negatives must be a whole number from 0 to 1000, got ${negatives}`);
  return {
    name,
    group: 2 + negatives,
    columns: {},
    of: ([anchors, ...texts]) => {
      const all = normalized(texts.reduce((a, b) => concat(a, b, { axis: 0 })));
      const scores = mul(matmul(normalized(anchors!), all, { transposeB: true }), scale);
      const examples = anchors!.shape[0]!;
      const own = constant(
        Int32Array.from({ length: examples }, (_, i) => i),
        [examples],
      );
      return ofExamples(crossEntropies(scores, own));
    },
  };
};

/**
 * Triplets: max(0, D(anchor, positive) − D(anchor, negative) + margin), summed over examples of three texts in this order. `margin` default 5,
 * `distance` default `euclidean`. Hermans, Beyer & Leibe, 2017, https://arxiv.org/abs/1703.07737; sentence-transformers, `TripletLoss`.
 * Throws `bad-option`.
 */
export const triplets = ({
  margin = 5,
  distance = 'euclidean',
}: {
  readonly margin?: number;
  readonly distance?: EmbeddingDistance;
} = {}): EmbeddingLoss => {
  requireNumber('triplets', 'margin', margin, 0);
  requireDistance('triplets', distance);
  const far = distances[distance];
  return {
    name: 'triplets',
    group: 3,
    columns: {},
    of: ([anchor, positive, negative]) =>
      ofExamples(maximum(add(sub(far(anchor!, positive!), far(anchor!, negative!)), margin), 0)),
  };
};

/**
 * Similarity of pairs: (cos(u, v) − label)², summed over pairs; `labels` f32 [rows], of which that of a pair's first text counts.
 * sentence-transformers, `CosineSimilarityLoss`.
 */
export const cosineSimilarity = (): EmbeddingLoss => ({
  name: 'cosineSimilarity',
  group: 2,
  columns: labels,
  of: ([u, v], inputs) => {
    const d = sub(cosines(u!, v!), exampleLabels('cosineSimilarity', inputs, u!.shape[0]!, 2));
    return ofExamples(mul(d, d));
  },
});

/**
 * Pairs that belong together or apart: ½ (y D² + (1 − y) max(0, margin − D)²), summed over pairs; `labels` f32 [rows], of which that of a pair's
 * first text counts: 1 together, 0 apart. `margin` default 0.5, `distance` default `cosine`.
 * Hadsell, Chopra & LeCun, 2006, https://doi.org/10.1109/CVPR.2006.100; sentence-transformers, `ContrastiveLoss`. Throws `bad-option`.
 */
export const contrastivePairs = ({
  margin = 0.5,
  distance = 'cosine',
}: {
  readonly margin?: number;
  readonly distance?: EmbeddingDistance;
} = {}): EmbeddingLoss => {
  requireNumber('contrastivePairs', 'margin', margin, 0);
  requireDistance('contrastivePairs', distance);
  return {
    name: 'contrastivePairs',
    group: 2,
    columns: labels,
    of: ([u, v], inputs) => {
      const d = distances[distance](u!, v!);
      const y = exampleLabels('contrastivePairs', inputs, u!.shape[0]!, 2);
      const gap = maximum(sub(margin, d), 0);
      return ofExamples(mul(add(mul(y, mul(d, d)), mul(sub(1, y), mul(gap, gap))), 0.5));
    },
  };
};

/** The vectors of the first texts of all examples, of the second ones, …: rows [examples · group, d]. Throws `bad-shape`. */
export const examplesOf = (rows: Tensor, { name, group }: Pick<EmbeddingLoss, 'name' | 'group'>): Tensor[] => {
  const [count, width] = rows.shape as readonly [number, number];
  if (count % group !== 0)
    throw new PeftError(
      'bad-shape',
      `${name}: got ${count} rows, which are no whole examples of ${group} texts; give a batch of whole examples`,
    );
  const examples = count / group;
  const apart = transpose(reshape(rows, [examples, group, width]), [1, 0, 2]);
  return Array.from({ length: group }, (_, i) =>
    reshape(slice(apart, { axis: 0, start: i, end: i + 1 }), [examples, width]),
  );
};
