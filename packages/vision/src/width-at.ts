import type { Model, Path, SiteName } from '@peftjs/transformer';

/** The width of the tower that a site's path is in. */
export const widthAt = ({ towers }: Model, site: SiteName, path: Path): number =>
  towers.find((tower) => tower.paths(site).includes(path))!.hiddenSize;
