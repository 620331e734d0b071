import type { Option } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import type { NoahTower } from './noah-tower.ts';

/** Sizes of the three modules in each layer, from the first: 0 where a layer has none. */
export interface NoahSizes {
  /** Rows of the prompt. A layer of 0 keeps what became of the one before. */
  readonly prompts: readonly number[];
  /** Ranks of LoRA in attention. */
  readonly ranks: readonly number[];
  /** Widths of the adapter after the MLP. */
  readonly widths: readonly number[];
}

/** The kinds of modules, in the order in which a supernet holds their sizes. */
export const kinds: readonly ['prompts', 'ranks', 'widths'] = ['prompts', 'ranks', 'widths'];

/** More than any size or layer of a file: nothing is made of larger ones. */
const most = 2 ** 14;

const isSize = (v: unknown): boolean => Number.isSafeInteger(v) && (v as number) >= 0 && (v as number) <= most;

/** Layers of a model's main tower. */
export const layersOf = ({ main }: Model): number => main.paths('block').length;

/** The option of one size for each layer. */
export const sizesOption = (key: string): Option<readonly number[]> => ({
  key,
  fallback: (model) => new Array<number>(layersOf(model)).fill(5),
  expected: `a whole number from 0 to ${most} for each layer`,
  accepts: (v) => Array.isArray(v) && v.length > 0 && v.length <= most && v.every(isSize),
  toJson: (v) => [...v],
});

/** The option of sizes to choose from, growing. */
export const choicesOption = (
  key: string,
  fallback: Option<readonly number[]>['fallback'],
): Option<readonly number[]> => ({
  key,
  fallback,
  expected: `whole numbers from 1 to ${most}, each larger than the one before`,
  accepts: (v) =>
    Array.isArray(v) && v.length > 0 && v.every((size, i) => isSize(size) && size > (i > 0 ? v[i - 1] : 0)),
  toJson: (v) => [...v],
});

/** Throws `bad-option` where there is not one size for each layer. */
export const requireSizes = (who: string, sizes: NoahSizes, layers: number): void => {
  const odd = kinds.filter((kind) => sizes[kind].length !== layers);
  if (odd.length > 0)
    throw new PeftError(
      'bad-option',
      `${who}: the model has ${layers} layers, and ${odd.map((kind) => `${kind} has ${sizes[kind].length} sizes`).join(', ')}; give one for each`,
    );
};

/** How many values modules of such sizes have in a tower. */
export const valuesIn = ({ hiddenSize: d, blocks }: NoahTower, { prompts, ranks, widths }: NoahSizes): number =>
  blocks.reduce((n, { projections }, i) => {
    const outputs = projections.reduce((sum, { size }) => sum + size, 0);
    const width = widths[i]!;
    return n + prompts[i]! * d + ranks[i]! * (d + outputs) + (width > 0 ? width * (2 * d + 1) + d : 0);
  }, 0);
