import { type Fusible, fusible } from '@peftjs/adapters';
import { type AdapterConfig, isObject, type JsonValue, type Option, type Scope, type State } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';

/** A trained adapter: what core's `snapshot` gives. */
export interface FusedAdapter {
  readonly config: AdapterConfig;
  /** Its values; null where they come from a file with those of the fusion. */
  readonly state: State | null;
}

/** Adapters by name. A file's order of names is kept, so there they come as a list. */
export type FusedAdapters = Readonly<Record<string, FusedAdapter>> | readonly (readonly [string, FusedAdapter])[];

const entriesOf = (adapters: FusedAdapters): readonly (readonly [string, FusedAdapter])[] =>
  Array.isArray(adapters) ? adapters : Object.entries(adapters as Readonly<Record<string, FusedAdapter>>);

const isEntry = ([name, adapter]: readonly [unknown, unknown]): boolean =>
  typeof name === 'string' &&
  /^[\p{L}\p{N}_ +@-]+$/u.test(name) &&
  isObject(adapter) &&
  isObject(adapter['config']) &&
  'state' in adapter;

const fromJson = (value: JsonValue): FusedAdapters => {
  if (!Array.isArray(value) || !value.every((a) => isObject(a) && typeof a['name'] === 'string'))
    throw new TypeError('must list adapters with their names');
  return value.map((a) => [a.name, { config: a.config, state: null }] as const);
};

/** The option that holds the adapters. */
export const fusedAdapters: Option<FusedAdapters> = {
  key: 'adapters',
  fallback: () => {
    throw new PeftError(
      'bad-option',
      'adapterFusion: adapters must be given: { name: await snapshot(adapted, { executor }) }',
    );
  },
  expected: 'two or more adapters by name, each with config and state',
  accepts: (v) =>
    typeof v === 'object' &&
    v !== null &&
    entriesOf(v as FusedAdapters).length >= 2 &&
    entriesOf(v as FusedAdapters).every(isEntry),
  toJson: (adapters) => entriesOf(adapters).map(([name, { config }]) => ({ name, config })),
  fromJson,
};

/** One of the adapters in a model. */
export interface FusedPart extends Fusible {
  readonly as: string;
  /** A scope in which its tensors are frozen at the values that were trained. */
  frozen(own: Scope, module: Path): Scope;
}

const frozenScope =
  (as: string, state: State | null) =>
  (own: Scope, module: Path): Scope => {
    const inner = own.at(`adapters.${as}`);
    const valueOf = (name: string, shape: readonly number[]): Float32Array => {
      const full = `${module}.adapters.default.${name}`;
      const found = state?.get(full);
      if (state && (!found || String(found.shape) !== String(shape)))
        throw new PeftError(
          'state-mismatch',
          `adapterFusion: adapter ${as}: ${full} is ${found ? `[${found.shape}]` : 'missing'}, the model takes [${shape}]`,
        );
      return Float32Array.from(found?.data ?? new Float32Array(shape.reduce((n, d) => n * d, 1)));
    };
    return { ...inner, param: (name, shape) => inner.buffer(name, shape, () => valueOf(name, shape)) };
  };

/** The adapters in a model. Throws `bad-option` where they are not of one kind in the same layers. */
export const fusedParts = (adapters: FusedAdapters, model: Model): readonly [FusedPart, ...FusedPart[]] => {
  const problems: string[] = [];
  const parts = entriesOf(adapters).flatMap(([as, { config, state }]): FusedPart[] => {
    const found = fusible(config, model);
    if (!found) problems.push(`${as} is of type ${config.peft_type ?? 'unknown'}, not houlsby or pfeiffer`);
    return found ? [{ ...found, as, frozen: frozenScope(as, state) }] : [];
  });
  const placeOf = ({ name, leaveOut }: FusedPart): string => `${name}, leaving out [${leaveOut.toSorted()}]`;
  for (const part of parts.slice(1))
    if (placeOf(part) !== placeOf(parts[0]!))
      problems.push(`${part.as} is ${placeOf(part)}; ${parts[0]!.as} is ${placeOf(parts[0]!)}`);
  if (problems.length > 0) throw new PeftError('bad-option', `adapterFusion: ${problems.join('; ')}`);
  return parts as [FusedPart, ...FusedPart[]];
};
