import { PeftError } from '@peftjs/tensor';
import { type Model, type Path, type Role, type SiteName, siteNames, type Target, targeted } from '@peftjs/transformer';
import type { AdapterConfig, Method, MethodFormat } from './method.ts';

/** A part of a model. */
export interface Where {
  /** Numbers of layers; what lies outside of the layers (embeddings, head) is then left out. */
  readonly layers?: readonly number[];
  /** Paths of linear layers, norms, embeddings or sites. */
  readonly target?: Target;
}

const withinType = 'PEFTJS_WITHIN';

/** Every path that something has, sites too. */
const pathsOf = (model: Model): Path[] => [
  ...new Set([
    ...siteNames.flatMap((site) => model.paths(site)),
    ...model.linears.keys(),
    ...model.norms.keys(),
    ...model.embeddings.keys(),
  ]),
];

const inLayers = (model: Model, layers: readonly number[]): ((path: Path) => boolean) => {
  const blocks = model.paths('block');
  const missing = layers.filter((i) => blocks[i] === undefined);
  if (missing.length > 0 || layers.length === 0)
    throw new PeftError(
      'no-match',
      `within: there is no layer ${missing.join(', ') || 'in an empty list'}; the model has 0 to ${blocks.length - 1}`,
    );
  const prefixes = layers.map((i) => blocks[i]!);
  return (path) => prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}.`));
};

const kept = <T>(parts: ReadonlyMap<Path, T>, keeps: (path: Path) => boolean): ReadonlyMap<Path, T> =>
  new Map([...parts].filter(([path]) => keeps(path)));

/** The model with only a part of it in sight. */
const sight = <M extends Model>(model: M, { layers, target }: Where): M => {
  const here = layers ? inLayers(model, layers) : () => true;
  const named = target === undefined ? null : new Set(targeted(pathsOf(model), target, 'within'));
  const keeps = (path: Path): boolean => here(path) && (named === null || named.has(path));
  return {
    ...model,
    linears: kept(model.linears, keeps),
    norms: kept(model.norms, keeps),
    embeddings: kept(model.embeddings, keeps),
    paths: (site: SiteName) => model.paths(site).filter(keeps),
    parts: (roles: readonly Role[]) => model.parts(roles).filter(({ path }) => keeps(path)),
  };
};

const make = (where: Where, { parts: _inner, ...method }: Method): Method => ({
  ...method,
  layout: 'peft',
  attach: (model, scope) => method.attach(sight(model, where), scope),
  config: (model): AdapterConfig => ({
    peft_type: withinType,
    ...(where.layers && { layers: where.layers }),
    ...(where.target !== undefined && { target: targeted(pathsOf(model), where.target, 'within') }),
    method: method.config(sight(model, where)),
  }),
  ...(method.prepare && {
    prepare: async (model, look) => make(where, await method.prepare!(sight(model, where), look)),
  }),
  ...(method.compact && {
    compact: async (model, state, on) => {
      const final = await method.compact!(sight(model, where), state, on);
      return { ...final, method: make(where, final.method) };
    },
  }),
});

const listOf = <T>(value: unknown, is: (v: unknown) => v is T, field: string): { [field: string]: readonly T[] } => {
  if (value === undefined) return {};
  if (Array.isArray(value) && value.every(is)) return { [field]: value };
  throw new PeftError(
    'bad-adapter',
    `within: ${field} of adapter_config.json must be a list, got ${JSON.stringify(value)}`,
  );
};

/**
 * A method in a part of the model: some layers, some paths, or both. With `combine` it gives other methods to other layers or targets:
 * `combine([within({ layers: [0, 1] }, lora()), within({ layers: [2, 3] }, ia3())])`. Saved with a configuration of our own. Throws
 * `no-match` when attached to a model that has no such part.
 */
export const within: ((where: Where, method: Method) => Method) & Pick<MethodFormat, 'reads' | 'fromConfig'> =
  Object.assign(make, {
    reads: ({ peft_type }: AdapterConfig) => peft_type === withinType,
    fromConfig: ({ layers, target, method }: AdapterConfig, build: (config: AdapterConfig) => Method): Method =>
      make(
        {
          ...listOf(layers, (v): v is number => Number.isSafeInteger(v), 'layers'),
          ...listOf(target, (v): v is string => typeof v === 'string', 'target'),
        },
        build(method as AdapterConfig),
      ),
  });
