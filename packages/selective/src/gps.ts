import { count, type MethodFactory } from '@peftjs/core';
import { eachGradient, keepLargest } from '@peftjs/core/collect';
import type { Path } from '@peftjs/transformer';
import { defineMasked, type MaskedOptions } from './masked/define-masked.ts';

/** Options of `gps`. */
export interface GpsOptions extends Omit<MaskedOptions, 'keep'> {
  /** Weights of each neuron that are trained, entries of each row; all of a shorter one. Default 1. */
  readonly connections?: number;
}

/** The places of the largest entries of each row. */
const largestInRows = (scores: Float32Array, width: number, most: number): Int32Array =>
  Int32Array.from(
    Array.from({ length: scores.length / width }, (_, row) => {
      const largest = keepLargest(most);
      largest.add(0, scores.subarray(row * width, (row + 1) * width));
      return Array.from(largest.places().get(0)!, (column) => row * width + column);
    }).flat(),
  );

/**
 * GPS, gradient-based parameter selection: W' = W + S with S zero but for the weights of each neuron, row of W, that have the largest gradients, `connections` of them; these are trained, from 0.
 * `prepare` takes |Σ g|, the gradient summed over batches. So every neuron of the network can be moved. Biases, norms and embeddings are not chosen from. Merges. Throws as `fishMask`.
 * Zhang et al., 2023. https://arxiv.org/abs/2312.10136. As the authors' code has it, https://github.com/FightingFighting/GPS, by the task's loss; its contrastive one is for images.
 */
export const gps: MethodFactory<GpsOptions> = defineMasked<GpsOptions>({
  name: 'gps',
  options: { connections: count('times_para', 1) },
  choose: async (model, paths, { connections }, look) => {
    const mask: Record<Path, Int32Array> = {};
    await eachGradient('gps', model, paths, look, (path, sum) => {
      mask[path] = largestInRows(sum.map(Math.abs), model.linears.get(path)!.inDim, connections);
    });
    return mask;
  },
  peftType: 'PEFTJS_GPS',
  card: {
    about: 'the weights of the largest gradients of each neuron',
    paper: {
      authors: 'Zhang et al.',
      year: 2023,
      title: 'Gradient-based Parameter Selection for Efficient Fine-Tuning',
      url: 'https://arxiv.org/abs/2312.10136',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
