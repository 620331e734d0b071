import { dropout, randomSource, randomUniform, type Tensor } from '@peftjs/tensor';
import type { Model, ModelPatch, Path } from '@peftjs/transformer';
import type { Method, Patch, Scope, Wraps } from './method.ts';
import { makeStore, type Store } from './store.ts';

/** The random parts of one view. */
export interface Chance {
  dropout(path: string): Scope['dropout'];
  draw(path: string): Scope['draw'];
}

/**
 * Chance of one view: every use draws from a stream of its own, named by the path and the number of the use there, so that a layer draws the
 * same values in whatever order the layers run. The `view`-th training view of a step has other streams than the first.
 */
export const chanceOf = (seed: Tensor | null, view: number): Chance => {
  const uses = new Map<string, number>();
  const stream = (path: string): number => {
    const use = uses.get(path) ?? 0;
    uses.set(path, use + 1);
    return Math.floor(randomSource(use, view === 0 ? path : `${path}#${view}`)() * 2 ** 32);
  };
  return {
    dropout: (path) => (x, rate) => (!seed || rate === 0 ? x : dropout(x, rate, seed, stream(path))),
    draw: (path) => seed && ((shape) => randomUniform(seed, shape, stream(`${path}:draw`))),
  };
};

/** The scope of a path whose tensors are those of a store. */
export const makeScope = (store: Store, path: string, chance: Chance): Scope => {
  const full = (name: string): string => (path ? `${path}.${name}` : name);
  return {
    param: (name, shape, init, hint) => store.make(full(name), shape, init, 'param', { hint }),
    buffer: (name, shape, init, dtype) => store.make(full(name), shape, init, 'buffer', { dtype }),
    running: (name, shape, init) => store.make(full(name), shape, init, 'running'),
    at: (inner) => makeScope(store, full(inner), chance),
    dropout: chance.dropout(path),
    draw: chance.draw(path),
  };
};

const wrapped = <T>(parts: ReadonlyMap<Path, T>, wraps: Wraps<T> | undefined): ReadonlyMap<Path, T> =>
  new Map([...(wraps ?? [])].map(([path, wrap]) => [path, wrap(parts.get(path)!)]));

const lists = ({ around }: Patch): NonNullable<ModelPatch['around']> =>
  Object.fromEntries(
    Object.entries(around ?? {}).map(([site, table]) => [
      site,
      new Map([...(table as ReadonlyMap<Path, unknown>)].map(([path, fn]) => [path, [fn]])),
    ]),
  ) as NonNullable<ModelPatch['around']>;

/** A model with a patch. */
export const viewOf = <M extends Model>(base: M, patch: Patch, more: ModelPatch): M =>
  base.with({
    linears: wrapped(base.linears, patch.linear),
    norms: wrapped(base.norms, patch.norm),
    embeddings: wrapped(base.embeddings, patch.embedding),
    experts: wrapped(base.experts, patch.experts),
    around: lists(patch),
    positionShift: patch.positionShift ?? 0,
    ...(patch.batchSize !== undefined && { batchSize: patch.batchSize }),
    ...more,
  });

/** The names of the tensors that a method makes in a model. */
export const tensorNames = (model: Model, method: Method): ReadonlySet<string> => {
  const store = makeStore(0, undefined);
  viewOf(model, method.attach(model, makeScope(store, '', chanceOf(null, 0))), {});
  return new Set(Object.values(store.byRole).flatMap((made) => [...made.keys()]));
};
