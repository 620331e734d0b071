import { PeftError } from '@peftjs/tensor';
import { type Call, type Model, type Path, type SiteName, type Slot, slot, type Tower } from '@peftjs/transformer';

/** The tower of a model that reads pictures, and its parts in sight. */
export interface PictureTower {
  readonly tower: Tower;
  /** The channels, height and width of a picture that it was trained with, in pixels. */
  readonly picture: readonly [channels: number, height: number, width: number];
  /** The height and width of a patch. */
  readonly patch: readonly [height: number, width: number];
  /** Its paths of a site that are in sight. Throws `no-match` where none is. */
  paths(site: SiteName): readonly Path[];
}

/** The tower that reads pictures. Throws `no-match`, with what to use for texts, where a model has none. */
export const pictureTower = (model: Model, method: string, forTexts: string): PictureTower => {
  const tower = model.towers.find(({ reads }) => reads.picture && reads.patch);
  if (!tower)
    throw new PeftError(
      'no-match',
      `${method}: is for models that read pictures as patches, and ${model.layout.modelType} reads none; for texts use ${forTexts}`,
    );
  return {
    tower,
    picture: tower.reads.picture!,
    patch: tower.reads.patch!,
    paths: (site) => {
      const seen = new Set(model.paths(site));
      const found = tower.paths(site).filter((path) => seen.has(path));
      if (found.length > 0) return found;
      throw new PeftError('no-match', `${method}: this part of the model has no site ${site}`);
    },
  };
};

/** How many patches the pictures of a pass have, from top to bottom and from left to right. */
export const gridOf = ({ pass, tower: { reads } }: Call): readonly [lines: number, columns: number] => {
  const [, , height, width] = pass.inputs[reads.ids]!.shape as readonly [number, number, number, number];
  const [high, wide] = reads.patch!;
  return [Math.floor(height / high), Math.floor(width / wide)];
};

/** Set while rows that are none of the picture's go through a block by themselves: the queries of `vqt`. */
export const apart: Slot<boolean> = slot('rows apart from the picture');
