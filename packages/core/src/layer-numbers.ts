import type { Model, Path } from '@peftjs/transformer';
import type { Option } from './option.ts';

/** The number of the layer that a path lies in: a decoder's go on where its encoder's end; −1 outside the layers. */
export const layerOf = ({ towers }: Model, path: Path): number =>
  towers.flatMap((tower) => tower.paths('block')).findIndex((block) => path.startsWith(`${block}.`));

/** The paths that do not lie in some layers. */
export const layersKept = (model: Model, paths: readonly Path[], leaveOut: readonly number[]): Path[] =>
  paths.filter((path) => !leaveOut.includes(layerOf(model, path)));

/** An option that lists layers; none by default. */
export const layerNumbers = (key: string): Option<readonly number[]> => ({
  key,
  fallback: () => [],
  expected: 'a list of numbers of layers',
  accepts: (v) => Array.isArray(v) && v.every((i) => Number.isSafeInteger(i) && i >= 0),
  toJson: (layers) => [...layers],
});
