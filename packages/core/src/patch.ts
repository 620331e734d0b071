import { PeftError } from '@peftjs/tensor';
import type { Around, Path, SiteName } from '@peftjs/transformer';
import { chain } from './gradient-transform.ts';
import type { Patch, Wraps } from './method.ts';
import { chainProjections } from './projection.ts';

const mergeWraps = <T>(tables: readonly (Wraps<T> | undefined)[]): Wraps<T> => {
  const all = new Map<Path, (base: T) => T>();
  for (const table of tables)
    for (const [path, wrap] of table ?? []) {
      const inner = all.get(path);
      all.set(path, inner ? (base) => wrap(inner(base)) : wrap);
    }
  return all;
};

/** Runs `inner` where `outer` calls next. */
const nest =
  <S extends SiteName>(inner: Around<S>, outer: Around<S>): Around<S> =>
  (x, next, context) =>
    outer(x, (y) => inner(y, next, context), context);

const mergeAround = (patches: readonly Patch[]): NonNullable<Patch['around']> => {
  const all: { [site: string]: Map<Path, Around<SiteName>> } = {};
  for (const { around } of patches)
    for (const [site, table] of Object.entries(around ?? {})) {
      const into = (all[site] ??= new Map());
      for (const [path, fn] of table as ReadonlyMap<Path, Around<SiteName>>) {
        const inner = into.get(path);
        into.set(path, inner ? nest(inner, fn) : fn);
      }
    }
  return all as NonNullable<Patch['around']>;
};

/** The one number of sequences that patches take. Throws `bad-option` where they take others. */
const batchSizeOf = (patches: readonly Patch[]): { readonly batchSize?: number } => {
  const sizes = [...new Set(patches.flatMap(({ batchSize }) => batchSize ?? []))];
  if (sizes.length > 1)
    throw new PeftError(
      'bad-option',
      `attach: methods take batches of ${sizes.join(' and of ')} sequences; they must agree`,
    );
  return sizes.length > 0 ? { batchSize: sizes[0]! } : {};
};

/** Several patches as one: later ones around earlier ones, also around the objective; statistics and decisions in order. */
export const mergePatches = (patches: readonly Patch[]): Patch => {
  const objectives = patches.flatMap(({ objective }) => objective ?? []);
  const transforms = patches.flatMap((p) => p.transform ?? []);
  const projections = patches.flatMap((p) => p.project ?? []);
  const columns = patches.map((p) => p.columns ?? {});
  const statistics = patches.flatMap((p) => p.statistics ?? []);
  const decisions = patches.flatMap((p) => p.decision ?? []);
  return {
    linear: mergeWraps(patches.map((p) => p.linear)),
    norm: mergeWraps(patches.map((p) => p.norm)),
    embedding: mergeWraps(patches.map((p) => p.embedding)),
    experts: mergeWraps(patches.map((p) => p.experts)),
    around: mergeAround(patches),
    positionShift: patches.reduce((n, p) => n + (p.positionShift ?? 0), 0),
    ...batchSizeOf(patches),
    ...(objectives.length > 0 && {
      objective: (inner) => objectives.reduce((objective, wrap) => wrap(objective), inner),
    }),
    ...(transforms.length > 0 && { transform: transforms.length === 1 ? transforms[0]! : chain(...transforms) }),
    ...(projections.length > 0 && {
      project: projections.length === 1 ? projections[0]! : chainProjections(projections),
    }),
    columns: Object.assign({}, ...columns),
    ...(statistics.length > 0 && { statistics: (step) => statistics.flatMap((of) => of(step)) }),
    ...(decisions.length > 0 && {
      decision: {
        due: (step) => decisions.some((d) => d.due(step)),
        run: async (step, between) => {
          for (const d of decisions) if (d.due(step)) await d.run(step, between);
        },
      },
    }),
  };
};
