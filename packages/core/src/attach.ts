import { dropout, randomSource, type Tensor, type Variable } from '@peftjs/tensor';
import type { CausalLM, ModelPatch, Path } from '@peftjs/transformer';
import { combine } from './combine.ts';
import type { Decision, Method, Patch, Scope, State, TrainedStep, Wraps } from './method.ts';
import { makeStore, type Store } from './store.ts';

/** A base model with methods attached: views of it, and what is trained. The base itself is never changed. */
export interface Adapted {
  readonly base: CausalLM;
  readonly methods: readonly Method[];
  /** All of them as one. */
  readonly method: Method;
  /** What it changes. */
  readonly patch: Patch;
  /** The view for evaluation and generation. */
  readonly model: CausalLM;
  /** The view for training: dropout is on, its bits drawn from `seed` (u32, shape []), which a training step feeds anew each time. */
  training(seed: Tensor): CausalLM;
  /** What the optimiser steps, by full name. */
  readonly params: ReadonlyMap<string, Variable>;
  /** `params` and the frozen tensors of the methods: what is saved. */
  readonly state: ReadonlyMap<string, Variable>;
  /** What only training needs, and keeps in its checkpoints. */
  readonly running: ReadonlyMap<string, Variable>;
  /** The methods' terms of the loss; null when there are none. */
  penalty(): Tensor | null;
  /** What the methods gather in every training step. */
  statistics(step: TrainedStep): readonly (readonly [Variable, Tensor])[];
  /** What the methods decide between steps; null when nothing. */
  readonly decision: Decision | null;
}

/** How `attach` makes first values. */
export interface AttachOptions {
  /** Seed of the random initial values. Default 0. */
  readonly seed?: number;
  /** Values by full name instead of initial ones. Throws `state-mismatch` when a tensor is missing, left over or of another size. */
  readonly state?: State;
}

type Drop = (path: string) => (x: Tensor, rate: number) => Tensor;

/**
 * Dropout of one view: every use draws from a stream of its own, named by the path and the number of the use there, so that a layer drops the
 * same values in whatever order the layers run.
 */
const dropWith = (seed: Tensor | null): Drop => {
  const uses = new Map<string, number>();
  return (path) => (x, rate) => {
    if (!seed || rate === 0) return x;
    const use = uses.get(path) ?? 0;
    uses.set(path, use + 1);
    return dropout(x, rate, seed, Math.floor(randomSource(use, path)() * 2 ** 32));
  };
};

const makeScope = (store: Store, path: string, drop: Drop): Scope => {
  const full = (name: string): string => (path ? `${path}.${name}` : name);
  return {
    param: (name, shape, init) => store.make(full(name), shape, init, 'param'),
    buffer: (name, shape, init, dtype) => store.make(full(name), shape, init, 'buffer', dtype),
    running: (name, shape, init) => store.make(full(name), shape, init, 'running'),
    at: (inner) => makeScope(store, full(inner), drop),
    dropout: drop(path),
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

const viewOf = (base: CausalLM, patch: Patch): CausalLM =>
  base.with({
    linears: wrapped(base.linears, patch.linear),
    norms: wrapped(base.norms, patch.norm),
    embeddings: wrapped(base.embeddings, patch.embedding),
    around: lists(patch),
    positionShift: patch.positionShift ?? 0,
  });

/**
 * Attaches methods to a model, later ones around earlier ones. Returns views that share the base's weights; switching adapters is using
 * another view. Throws `no-match` for a target that names nothing, `state-mismatch` for a state that does not fit.
 */
export const attach = (base: CausalLM, methods: readonly Method[], options: AttachOptions = {}): Adapted => {
  const store = makeStore(options.seed ?? 0, options.state);
  const method = combine(methods);
  const patchWith = (seed: Tensor | null): Patch => method.attach(base, makeScope(store, '', dropWith(seed)));
  const patch = patchWith(null);
  const model = viewOf(base, patch);
  store.check();
  const { param, buffer, running } = store.byRole;
  return {
    base,
    methods,
    method,
    patch,
    model,
    training: (seed) => viewOf(base, patchWith(seed)),
    params: param,
    state: new Map([...param, ...buffer]),
    running,
    penalty: () => patch.penalty?.() ?? null,
    statistics: (step) => patch.statistics?.(step) ?? [],
    decision: patch.decision ?? null,
  };
};
