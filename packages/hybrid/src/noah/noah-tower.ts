import { requireOneWidth } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Model, Part, Path, Role, SiteName } from '@peftjs/transformer';

/** A block and the parts of it that NOAH changes. */
export interface NoahBlock {
  readonly block: Path;
  readonly attn: Path;
  readonly mlp: Path;
  /** Queries, keys and values, in this order. */
  readonly projections: readonly Part[];
}

/** The tower that reads pictures. */
export interface NoahTower {
  /** Width d. */
  readonly hiddenSize: number;
  readonly embed: Path;
  readonly blocks: readonly NoahBlock[];
}

const roles: readonly Role[] = ['query', 'key', 'value'];

/** The tower of a model that reads pictures, with its blocks. Throws `no-match` where there is none, or where a part of the model does not have all of it. */
export const noahTower = (model: Model, method: string): NoahTower => {
  const tower = model.towers.find(({ reads }) => reads.picture);
  if (!tower)
    throw new PeftError(
      'no-match',
      `${method}: is for models that read pictures as patches, and ${model.layout.modelType} reads none; for texts search through autoPeftSpace`,
    );
  requireOneWidth(model, method, tower);
  const all = (site: SiteName): readonly Path[] => {
    const seen = new Set(model.paths(site));
    const paths = tower.paths(site);
    if (paths.every((path) => seen.has(path))) return paths;
    throw new PeftError('no-match', `${method}: has sizes for each layer; use it for the whole model, with sizes of 0`);
  };
  const [embed] = all('embed') as readonly [Path];
  const [attns, mlps] = [all('attn'), all('mlp')];
  const parts = model.parts(roles);
  return {
    hiddenSize: tower.hiddenSize,
    embed,
    blocks: all('block').map((block, i) => ({
      block,
      attn: attns[i]!,
      mlp: mlps[i]!,
      projections: roles.flatMap((role) =>
        parts.filter((part) => part.role === role && part.path.startsWith(`${attns[i]}.`)),
      ),
    })),
  };
};
