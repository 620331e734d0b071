import { isObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { AdapterConfig, Method, MethodFormat, Scope, State } from '../method.ts';
import type { Snapshot } from '../snapshot.ts';

const ownType = 'PEFTJS_FROZEN';

/** A scope in which all that is trained elsewhere stands still, at given values or at the method's first ones. */
const still = (scope: Scope, path: string, state: State | null): Scope => ({
  ...scope,
  param: (name, shape, init) => {
    const full = path ? `${path}.${name}` : name;
    if (!state) return scope.buffer(name, shape, init);
    return scope.buffer(name, shape, () => valueOf(state, full, shape));
  },
  buffer: (name, shape, init, dtype) => {
    const found = state?.get(path ? `${path}.${name}` : name);
    return scope.buffer(name, shape, found ? () => found.data as Float32Array : init, dtype);
  },
  at: (inner) => still(scope.at(inner), path ? `${path}.${inner}` : inner, state),
  draw: null,
  dropout: (x) => x,
});

const valueOf = (state: State, name: string, shape: readonly number[]): Float32Array => {
  const found = state.get(name);
  if (found && String(found.shape) === String(shape)) return Float32Array.from(found.data);
  throw new PeftError(
    'state-mismatch',
    `frozen: ${name} is ${found ? `[${found.shape}]` : 'missing'}, the model takes [${shape}]`,
  );
};

const make = (inner: Method, state: State | null): Method => ({
  name: `frozen(${inner.name})`,
  merges: inner.merges,
  ...(inner.layout && { layout: inner.layout }),
  ...(inner.aliases && { aliases: inner.aliases }),
  ...(inner.parts && { parts: (model) => inner.parts!(model) }),
  attach: (model, scope) => {
    const {
      objective: _,
      transform: __,
      project: ___,
      statistics: ____,
      decision: _____,
      ...patch
    } = inner.attach(model, still(scope, '', state));
    return patch;
  },
  config: (model) =>
    inner.layout === 'adapter-hub' ? inner.config(model) : { peft_type: ownType, method: inner.config(model) },
});

/**
 * A trained adapter as it is, beside others that are trained: what `snapshot` gives, as a method whose values all stand still, without
 * dropout and penalties. `stack({ language: frozen(await snapshot(trained, { executor })), task: pfeiffer() })`. In files of
 * adapter-hub/adapters, which don't say what is trained, it is the method alone. When attached it throws `state-mismatch` for values of another model.
 */
export const frozen: ((snapshot: Pick<Snapshot, 'method' | 'state'>) => Method) &
  Pick<MethodFormat, 'reads' | 'fromConfig'> = Object.assign(
  ({ method, state }: Pick<Snapshot, 'method' | 'state'>): Method => make(method, state),
  {
    reads: ({ peft_type }: AdapterConfig): boolean => peft_type === ownType,
    fromConfig: (config: AdapterConfig, build: (config: AdapterConfig) => Method): Method => {
      if (!isObject(config['method']))
        throw new PeftError('bad-adapter', 'adapter_config.json: a frozen method must say which it is in method');
      return make(build(config['method'] as AdapterConfig), null);
    },
  },
);
