import {
  add,
  dropout,
  PeftError,
  randomSource,
  type Shape,
  type Tensor,
  type TypedArray,
  type Variable,
  type VariableInit,
  variable,
} from '@peftjs/tensor';
import type { Around, CausalLM, Path, SiteName } from '@peftjs/transformer';
import type { Init } from './init.ts';
import type { Method, Patch, Scope } from './method.ts';

/** A base model with methods attached: views of it, and what is trained. The base itself is never changed. */
export interface Adapted {
  readonly base: CausalLM;
  readonly methods: readonly Method[];
  /** What each method changes. */
  readonly patches: readonly Patch[];
  /** The view for evaluation and generation. */
  readonly model: CausalLM;
  /** The view for training: dropout is on, its bits drawn from `seed` (u32, shape []), which a training step feeds anew each time. */
  training(seed: Tensor): CausalLM;
  /** What the optimiser steps, by full name. */
  readonly params: ReadonlyMap<string, Variable>;
  /** `params` and the frozen tensors of the methods: what is saved. */
  readonly state: ReadonlyMap<string, Variable>;
  /** The methods' terms of the loss; null when there are none. */
  penalty(): Tensor | null;
}

/** How `attach` makes first values. */
export interface AttachOptions {
  /** Seed of the random initial values. Default 0. */
  readonly seed?: number;
  /** Values by full name instead of initial ones. Throws `state-mismatch` when a tensor is missing, left over or of another size. */
  readonly state?: ReadonlyMap<string, { readonly shape: Shape; readonly data: TypedArray }>;
}

interface Store {
  readonly params: Map<string, Variable>;
  readonly state: Map<string, Variable>;
  make(name: string, shape: Shape, init: Init, trained: boolean): Variable;
  check(): void;
}

const sameSize = (a: Shape, b: Shape): boolean => a.join() === b.join();

const makeStore = ({ seed = 0, state: given }: AttachOptions): Store => {
  const params = new Map<string, Variable>();
  const state = new Map<string, Variable>();
  const problems: string[] = [];
  const initOf = (name: string, shape: Shape, init: Init): VariableInit => {
    const found = given?.get(name);
    if (given && !found) problems.push(`${name} is missing`);
    else if (found && !sameSize(found.shape, shape))
      problems.push(`${name} is [${found.shape}], the model takes [${shape}]`);
    else if (found) return found.data;
    return typeof init === 'function' ? () => init(shape, randomSource(seed, name)) : init;
  };
  const make: Store['make'] = (name, shape, init, trained) => {
    const known = state.get(name);
    if (known) return known;
    const made = variable(name, shape, initOf(name, shape, init));
    state.set(name, made);
    if (trained) params.set(name, made);
    return made;
  };
  const check = (): void => {
    for (const name of given?.keys() ?? [])
      if (!state.has(name)) problems.push(`${name} belongs to nothing in the model`);
    if (problems.length > 0)
      throw new PeftError(
        'state-mismatch',
        `attach: the adapter does not fit this model and method: ${problems.join('; ')}`,
      );
  };
  return { params, state, make, check };
};

type Drop = (x: Tensor, rate: number) => Tensor;

/** Dropout of one view: every use draws from a stream of its own. */
const dropWith = (seed: Tensor | null): Drop => {
  let stream = 0;
  return (x, rate) => (seed && rate > 0 ? dropout(x, rate, seed, stream++) : x);
};

const makeScope = (store: Store, path: string, drop: Drop): Scope => {
  const full = (name: string): string => (path ? `${path}.${name}` : name);
  return {
    param: (name, shape, init) => store.make(full(name), shape, init, true),
    buffer: (name, shape, init) => store.make(full(name), shape, init, false),
    at: (inner) => makeScope(store, full(inner), drop),
    dropout: drop,
  };
};

const viewOf = (base: CausalLM, patches: readonly Patch[]): CausalLM => {
  const linears = new Map(base.linears);
  const around: { [S in SiteName]?: Map<Path, Around<S>[]> } = {};
  for (const patch of patches) {
    for (const [path, wrap] of patch.linear ?? []) linears.set(path, wrap(linears.get(path)!));
    for (const [site, table] of Object.entries(patch.around ?? {}) as [SiteName, ReadonlyMap<Path, never>][]) {
      const chains = (around[site] ??= new Map()) as Map<Path, unknown[]>;
      for (const [path, fn] of table) chains.set(path, [...(chains.get(path) ?? []), fn]);
    }
  }
  return base.with({ linears, around });
};

/** Names of the tensors: alone, a method's are those of its library; in a list each is prefixed by its position. */
const prefixOf = (methods: readonly Method[], i: number): string => (methods.length > 1 ? `methods.${i}` : '');

/**
 * Attaches methods to a model, later ones around earlier ones. Returns views that share the base's weights; switching adapters is using
 * another view. Throws `no-match` for a target that names nothing, `state-mismatch` for a state that does not fit.
 */
export const attach = (base: CausalLM, methods: readonly Method[], options: AttachOptions = {}): Adapted => {
  const store = makeStore(options);
  const patchesOf = (seed: Tensor | null): Patch[] => {
    const drop = dropWith(seed);
    return methods.map((method, i) => method.attach(base, makeScope(store, prefixOf(methods, i), drop)));
  };
  const patches = patchesOf(null);
  const model = viewOf(base, patches);
  store.check();
  return {
    base,
    methods,
    patches,
    model,
    training: (seed) => viewOf(base, patchesOf(seed)),
    params: store.params,
    state: store.state,
    penalty: () =>
      patches
        .flatMap(({ penalty }) => (penalty ? [penalty()] : []))
        .reduce<Tensor | null>((sum, term) => (sum ? add(sum, term) : term), null),
  };
};
