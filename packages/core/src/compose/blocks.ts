import type { AdapterLayout } from '@peftjs/io';
import { concatAll, PeftError, slice, type Tensor } from '@peftjs/tensor';
import type { Inputs } from '@peftjs/transformer';
import type { Method } from '../method.ts';
import { type BlockParts, blockOf } from './block.ts';

/** Whose files a block has. */
export interface BlockOptions {
  /**
   * `peft` (default): one file of ours, with a group of tensors for each part. `adapter-hub`: a setup of adapter-hub/adapters, a folder for
   * each part; for methods of that layout, where that library computes the same, else it is refused when saved.
   */
  readonly layout?: AdapterLayout;
}

const layoutOf = ({ layout }: BlockOptions, parts: BlockParts, who: string): BlockOptions => {
  const other = Object.entries(parts ?? {}).find(([, method]) => layout === 'adapter-hub' && method.layout !== layout);
  if (other)
    throw new PeftError(
      'bad-option',
      `${who}: ${other[0]} has no files in the layout adapter-hub; leave out layout, so that the block has files of our own`,
    );
  return layout ? { layout } : {};
};

/**
 * Methods one after another: later ones around earlier ones, as `attach` has a list of them, each with a name.
 * Pfeiffer et al., 2020 (MAD-X: a task's adapter on a language's). https://arxiv.org/abs/2005.00052
 */
export const stack = (parts: BlockParts, options: BlockOptions = {}): Method =>
  blockOf('stack', parts, layoutOf(options, parts, 'stack'));

/** Weights of an average of outputs. */
export interface AverageBlockOptions extends BlockOptions {
  /** Weight of each part, of any sign. Default: all alike. */
  readonly weights?: readonly number[];
  /** Whether the weights are divided by their sum. Default true. */
  readonly normalize?: boolean;
  /** The factor of the output without any part. Default: 1 less the sum of the weights, so that nothing of the base is lost. */
  readonly base?: number;
}

/**
 * The weighted average of what methods give at each place that one of them changes, c·y + Σ wᵢ·yᵢ: of layers, norms and sublayers, one by
 * one. Folds into the weights where its parts do. Rows in front are averaged where all parts put as many. Throws `bad-option`.
 * As `Average` of the adapters library, which divides by the number of parts once more: its files are read as what it computes.
 */
export const average = (
  parts: BlockParts,
  { weights, normalize = true, base, ...options }: AverageBlockOptions = {},
): Method => {
  const given = weights ?? Object.keys(parts ?? {}).map(() => 1);
  const sum = Array.isArray(given) ? given.reduce((a, b) => a + b, 0) : Number.NaN;
  if (normalize && sum === 0)
    throw new PeftError('bad-option', 'average: the weights sum to 0; give others, or normalize: false');
  const used = Array.isArray(given) && normalize ? given.map((w) => w / sum) : given;
  const rest = normalize ? 0 : 1 - sum;
  return blockOf('average', parts, { weights: used, base: base ?? rest, ...layoutOf(options, parts, 'average') });
};

/** How a fusion attends. */
export interface FuseBlockOptions {
  /** Whether what is attended to goes through a matrix, at first the identity: dynamic fusion. False: static fusion. Default true. */
  readonly values?: boolean;
}

/**
 * Attention over what methods add at each place that one of them changes: y + V·Σᵢ wᵢ·uᵢ with uᵢ = yᵢ − y and w = softmaxᵢ(q · kᵢ),
 * q = W_q y + b_q, kᵢ = W_k uᵢ + b_k. AdapterFusion for any method that changes layers or sublayers; its own, of trained bottleneck adapters in
 * the adapters library's files, is `adapterFusion` of `@peftjs/multitask`. The parts are trained too; `frozen` keeps one as it is. Does not
 * merge. Throws `bad-option`. Pfeiffer et al., 2020. https://arxiv.org/abs/2005.00247
 */
export const fuse = (parts: BlockParts, { values = true }: FuseBlockOptions = {}): Method =>
  blockOf('fuse', parts, { values });

/** The tokens of each part. */
export interface SplitBlockOptions extends BlockOptions {
  /** One number for each part: the first `lengths[0]` tokens are the first part's, and so on. */
  readonly lengths: readonly number[];
}

/**
 * Each part of a sequence has a method of its own, by the position of its tokens. Sequences must be as long as the lengths together, so it
 * does not generate. As `Split` of the adapters library. Throws `bad-option`; `bad-shape` for other sequences.
 */
export const split = (parts: BlockParts, { lengths, ...options }: SplitBlockOptions): Method =>
  blockOf('split', parts, { lengths, ...layoutOf(options, parts, 'split') });

/** The rows of each part. */
export interface BatchSplitBlockOptions extends BlockOptions {
  /** One number for each part: the first `sizes[0]` rows of a batch are the first part's, and so on. */
  readonly sizes: readonly number[];
}

/**
 * Each part of a batch has a method of its own, by the order of its rows. Every part is computed for all rows and then chosen, as `mixBatch`
 * does, which takes adapters that were trained apart and another choice for each batch. As `BatchSplit` of the adapters library. Throws
 * `bad-option`; `bad-shape` for batches of other sizes.
 */
export const batchSplit = (parts: BlockParts, { sizes, ...options }: BatchSplitBlockOptions): Method =>
  blockOf('batchSplit', parts, { sizes, ...layoutOf(options, parts, 'batchSplit') });

/**
 * The same rows through several methods at once: a batch holds them once for each part, in the parts' order, as `inParallel` makes it;
 * `apart` gives the outputs by name. Its loss is that of all parts together. As `Parallel` of the adapters library, which repeats the batch
 * itself. Throws `bad-option`; `bad-shape` for batches that the parts cannot share. Rücklé et al., 2020. https://arxiv.org/abs/2010.11918
 */
export const parallel = (parts: BlockParts, options: BlockOptions = {}): Method =>
  blockOf('parallel', parts, layoutOf(options, parts, 'parallel'));

/**
 * Each row of a batch has the method of its task: the column `task` holds the part's number. As `MultiTask` of the adapters library.
 * Throws `bad-option`, also for inputs without that column; `bad-data` for tasks that there are not.
 */
export const multiTask = (parts: BlockParts, options: BlockOptions = {}): Method =>
  blockOf('multiTask', parts, layoutOf(options, parts, 'multiTask'));

/** Inputs with their rows once for each of so many parts, as `parallel` takes them. */
export const inParallel = (inputs: Inputs, parts: number): Inputs =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, x]) => [
      name,
      concatAll(
        Array.from({ length: parts }, () => x),
        0,
      ),
    ]),
  );

/** Outputs [parts·rows, ...] of a `parallel` block by the names of its parts, [rows, ...] each. Throws `bad-shape`. */
export const apart = <N extends string>(y: Tensor, names: readonly N[]): Readonly<Record<N, Tensor>> => {
  const rows = y.shape[0]! / names.length;
  if (!Number.isInteger(rows))
    throw new PeftError('bad-shape', `apart: ${y.shape[0]} rows cannot be shared by ${names.length} parts`);
  return Object.fromEntries(
    names.map((name, i) => [name, slice(y, { axis: 0, start: i * rows, end: (i + 1) * rows })]),
  ) as Record<N, Tensor>;
};
