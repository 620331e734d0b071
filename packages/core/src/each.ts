import { PeftError } from '@peftjs/tensor';
import {
  type Around,
  type Embedding,
  type Linear,
  type Model,
  type Norm,
  type Path,
  type SiteName,
  type Target,
  targeted,
} from '@peftjs/transformer';
import type { Patch, Scope, Wraps } from './method.ts';

/** A new part made of every targeted one; each has its own scope. */
const eachOf = <T>(
  parts: ReadonlyMap<Path, T>,
  scope: Scope,
  target: Target,
  name: string,
  wrap: (base: T, scope: Scope, path: Path) => T,
): Wraps<T> =>
  new Map(targeted(parts.keys(), target, name).map((path) => [path, (base) => wrap(base, scope.at(path), path)]));

/** A patch that makes a new layer of every targeted Linear; each has its own scope. Throws `no-match`. */
export const eachLinear = (
  model: Model,
  scope: Scope,
  target: Target,
  name: string,
  wrap: (base: Linear, scope: Scope, path: Path) => Linear,
): Patch => ({ linear: eachOf(model.linears, scope, target, name, wrap) });

/** A patch that makes a new norm of every targeted one. Throws `no-match`. */
export const eachNorm = (
  model: Model,
  scope: Scope,
  target: Target,
  name: string,
  wrap: (base: Norm, scope: Scope, path: Path) => Norm,
): Patch => ({ norm: eachOf(model.norms, scope, target, name, wrap) });

/** New layers made of the old ones, by kind. */
export interface LayerWraps {
  linear(base: Linear, scope: Scope, path: Path): Linear;
  embedding(base: Embedding, scope: Scope, path: Path): Embedding;
}

/** A patch that makes a new layer of every targeted Linear and embedding; each has its own scope. Throws `no-match`. */
export const eachLayer = (model: Model, scope: Scope, target: Target, name: string, wraps: LayerWraps): Patch => {
  const named = targeted([...model.linears.keys(), ...model.embeddings.keys()], target, name);
  const only = (parts: ReadonlyMap<Path, unknown>): Path[] => named.filter((path) => parts.has(path));
  return {
    linear: new Map(only(model.linears).map((path) => [path, (base) => wraps.linear(base, scope.at(path), path)])),
    embedding: new Map(
      only(model.embeddings).map((path) => [path, (base) => wraps.embedding(base, scope.at(path), path)]),
    ),
  };
};

/** A patch with one middleware at every path of a site; each has its own scope, and its number among them. Throws `no-match`. */
export const eachSite = <S extends SiteName>(
  model: Model,
  scope: Scope,
  site: S,
  make: (scope: Scope, path: Path, index: number) => Around<S>,
): Patch => {
  const paths = model.paths(site);
  if (paths.length === 0) throw new PeftError('no-match', `this part of the model has no site ${site}`);
  return { around: { [site]: new Map(paths.map((path, i) => [path, make(scope.at(path), path, i)])) } };
};
