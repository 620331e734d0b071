import type { JsonObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { type Model, type Path, type Role, type SiteName, siteNames, type Target, targeted } from '@peftjs/transformer';

/** A part of a model. */
export interface Where {
  /** Numbers of layers, in every tower; what lies outside of the layers (embeddings, head) is then left out. */
  readonly layers?: readonly number[];
  /** Paths of linear layers, norms, embeddings, experts or sites. */
  readonly target?: Target;
}

/** Every path that something has, sites too. */
const pathsOf = (model: Model): Path[] => [
  ...new Set([
    ...siteNames.flatMap((site) => model.paths(site)),
    ...model.linears.keys(),
    ...model.norms.keys(),
    ...model.embeddings.keys(),
    ...model.experts.keys(),
  ]),
];

const inLayers = (model: Model, layers: readonly number[]): ((path: Path) => boolean) => {
  const seen = new Set(model.paths('block'));
  // By its number in its tower, also where an outer part sees few of them.
  const blocks = model.towers.flatMap((tower) => tower.paths('block').map((path, i) => [i, path] as const));
  const here = blocks.filter(([, path]) => seen.has(path));
  const missing = layers.filter((i) => !here.some(([n]) => n === i));
  if (missing.length > 0 || layers.length === 0)
    throw new PeftError(
      'no-match',
      `combine: there is no layer ${missing.join(', ') || 'in an empty list'}; there are ${[...new Set(here.map(([i]) => i))].join(', ') || 'none'}`,
    );
  const prefixes = here.flatMap(([i, path]) => (layers.includes(i) ? [path] : []));
  return (path) => prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}.`));
};

const kept = <T>(parts: ReadonlyMap<Path, T>, keeps: (path: Path) => boolean): ReadonlyMap<Path, T> =>
  new Map([...parts].filter(([path]) => keeps(path)));

/** The model with only a part of it in sight. Throws `no-match`. */
export const sight = <M extends Model>(model: M, { layers, target }: Where): M => {
  if (!layers && target === undefined) return model;
  const here = layers ? inLayers(model, layers) : () => true;
  const named = target === undefined ? null : new Set(targeted(pathsOf(model), target, 'combine'));
  const keeps = (path: Path): boolean => here(path) && (named === null || named.has(path));
  return {
    ...model,
    linears: kept(model.linears, keeps),
    norms: kept(model.norms, keeps),
    embeddings: kept(model.embeddings, keeps),
    experts: kept(model.experts, keeps),
    paths: (site: SiteName) => model.paths(site).filter(keeps),
    parts: (roles: readonly Role[]) => model.parts(roles).filter(({ path }) => keeps(path)),
  };
};

/** The part as a file says it: a target by full paths. */
export const savedWhere = (model: Model, { layers, target }: Where): { layers?: number[]; target?: Path[] } => ({
  ...(layers && { layers: [...layers] }),
  ...(target !== undefined && { target: targeted(pathsOf(model), target, 'combine') }),
});

const listOf = <T>(value: unknown, is: (v: unknown) => v is T, field: string): { [field: string]: readonly T[] } => {
  if (value === undefined) return {};
  if (Array.isArray(value) && value.every(is)) return { [field]: value };
  throw new PeftError(
    'bad-adapter',
    `combine: ${field} of adapter_config.json must be a list, got ${JSON.stringify(value)}`,
  );
};

/** The part that a file says. Throws `bad-adapter`. */
export const readWhere = (saved: JsonObject): Where => ({
  ...listOf(saved['layers'], (v): v is number => Number.isSafeInteger(v), 'layers'),
  ...listOf(saved['target'], (v): v is string => typeof v === 'string', 'target'),
});
