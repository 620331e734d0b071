import { parallelAdapter, pfeiffer } from '@peftjs/adapters';
import { combine, type Method } from '@peftjs/core';
import { adapterHubPrefixTuning } from '@peftjs/prompts';
import { PeftError } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';

/** Sizes of the parts, the same in every layer, and the layers that have them. */
export interface AutoPeftPoint {
  /** Width of an adapter after the MLP; 0 for none. */
  readonly serial: number;
  /** Width of an adapter beside the MLP; 0 for none. */
  readonly parallel: number;
  /** Tokens of a prefix in attention; 0 for none. */
  readonly prefix: number;
  /** Whether a layer has them, by its number. */
  readonly [layer: `layer${number}`]: boolean;
}

/** d, d/2, d/4, … 1, rounded down, and 0. */
const sizes = (d: number): number[] => {
  const all: number[] = [];
  for (let size = d; size >= 1; size = Math.floor(size / 2)) all.push(size);
  return [0, ...all.reverse()];
};

/**
 * The space that AutoPEFT searches in a model of width d: an adapter after the MLP, one beside it, and a prefix, of d/2ᵏ each or none, and which layers
 * have them: `serial`, `parallel`, `prefix`, `layer0`, `layer1`, …
 * Zhou et al., 2023. https://arxiv.org/abs/2301.12132
 */
export const autoPeftSpace = (
  model: Model,
): {
  readonly serial: readonly number[];
  readonly parallel: readonly number[];
  readonly prefix: readonly number[];
  readonly [layer: `layer${number}`]: readonly boolean[];
} => {
  const own = sizes(model.main.hiddenSize);
  const layers = model.main.paths('block').map((_, i) => [`layer${i}`, [false, true]] as const);
  return { serial: own, parallel: own, prefix: own, ...Object.fromEntries(layers) };
};

/**
 * The method of a point of `autoPeftSpace`: `pfeiffer`, `parallelAdapter` and `adapterHubPrefixTuning` in the layers of the point, so that with y = mlp(…), which is added to h, y ← y + SA(y + h) + 4·PA(h). The prefix's rows are trained themselves; the authors
 * make them by a network of width 800 while training, and count the rows alone. By the authors' code, https://github.com/cambridgeltl/autopeft. Throws `bad-option` where nothing is left to train. Its file is a combination's: `load(model, dir, [pfeiffer, parallelAdapter, adapterHubPrefixTuning])`.
 */
export const autoPeft = (point: AutoPeftPoint): Method => {
  const layers = Object.entries(point).flatMap(([name, on]) =>
    on === true && /^layer\d+$/.test(name) ? [Number(name.slice(5))] : [],
  );
  const parts = [
    point.prefix > 0 && { name: 'prefix', method: adapterHubPrefixTuning({ length: point.prefix, flat: true }) },
    // In this order, so that the one after the MLP does not read what the one beside it adds.
    point.serial > 0 && { name: 'serial', method: pfeiffer({ bottleneck: point.serial }) },
    point.parallel > 0 && { name: 'parallel', method: parallelAdapter({ bottleneck: point.parallel }) },
  ].filter((part) => part !== false);
  if (parts.length === 0 || layers.length === 0)
    throw new PeftError('bad-option', 'autoPeft: this point trains nothing; it needs a size above 0 and a layer');
  return combine(parts.map((part) => ({ ...part, layers })));
};
