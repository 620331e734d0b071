import { constant, PeftError, type Tensor } from '@peftjs/tensor';
import {
  type Around,
  type Call,
  type Dense,
  type Embedding,
  type Experts,
  type KeyValue,
  type Linear,
  type Model,
  type Norm,
  type Path,
  streamSites,
} from '@peftjs/transformer';
import type { Patch, Wraps } from '../method.ts';
import { type MixedSite, once } from '../once.ts';
import { mergePatches } from '../patch.ts';

/**
 * The output of a place, made of those that each part gives there, all of one shape; a part that changes nothing there gives `plain`, the
 * output without any.
 */
export type Mix = (parts: readonly Tensor[], plain: Tensor, call: Call) => Tensor;

/** The way in which the outputs of several methods become one. */
export interface Blend {
  /** The name of the block, for messages. */
  readonly who: string;
  /** The same of stored values, where the block is one layer; absent where it depends on the batch. */
  readonly values?: (parts: readonly Tensor[], plain: Tensor) => Tensor;
  /** Whether the place of a row among others counts, so that all must be given at once. */
  readonly acrossRows?: true;
  /** The mixing of a place's outputs: `linear`, `norm`, `embedding`, `experts` or a site. Throws `bad-option` where there is none. */
  at(kind: string, path: Path): Mix;
}

const shapeOf = ({ shape }: Tensor): string => `[${shape.join(', ')}]`;

/** Mixes outputs; of keys and values each. Throws `bad-shape` where the parts' are of unlike shapes. */
const mixed = <T extends Tensor | KeyValue>(
  { who }: Blend,
  mix: Mix,
  plain: T,
  parts: readonly (T | null)[],
  call: Call,
): T => {
  if (parts.every((y) => y === null)) return plain;
  if (!('node' in plain)) {
    const of = (name: 'k' | 'v'): Tensor =>
      mixed(
        { who, at: () => mix },
        mix,
        plain[name],
        (parts as readonly (KeyValue | null)[]).map((kv) => kv?.[name] ?? null),
        call,
      );
    return { k: of('k'), v: of('v') } as unknown as T;
  }
  const all = (parts as readonly (Tensor | null)[]).map((y) => y ?? (plain as Tensor));
  const shapes = new Set(all.map(shapeOf));
  if (shapes.size > 1)
    throw new PeftError(
      'bad-shape',
      `${who}: at ${call.path} the parts give ${[...shapes].join(' and ')}; all must put as many rows in front of a sequence, or none`,
    );
  return mix(all, plain as Tensor, call) as T;
};

const union = (tables: readonly (ReadonlyMap<Path, unknown> | undefined)[]): Path[] => [
  ...new Set(tables.flatMap((table) => [...(table?.keys() ?? [])])),
];

/** Wraps of which each makes a part of what those of the parts make of the same one. */
const wraps = <T>(
  tables: readonly (Wraps<T> | undefined)[],
  make: (path: Path, inner: T, own: readonly (T | null)[]) => T,
): Wraps<T> =>
  new Map(
    union(tables).map((path) => [
      path,
      (inner) => {
        const own = tables.map((table) => table?.get(path)?.(inner) ?? null);
        return make(path, inner, own);
      },
    ]),
  );

const zeros = (like: Tensor): Tensor => constant(new Float32Array(like.shape[0]!), like.shape);

/** Biases of layers of which some may have none. */
const biasOf = (values: NonNullable<Blend['values']>, parts: readonly Dense[], plain: Dense): Tensor | null => {
  const some = [...parts, plain].find(({ bias }) => bias !== null)?.bias;
  const of = ({ bias }: Dense): Tensor => bias ?? zeros(some!);
  return some ? values(parts.map(of), of(plain)) : null;
};

const linearOf =
  (blend: Blend) =>
  (path: Path, inner: Linear, own: readonly (Linear | null)[]): Linear => {
    const mix = blend.at('linear', path);
    return {
      ...inner,
      acrossRows: blend.acrossRows ?? [inner, ...own].some((layer) => layer?.acrossRows),
      apply: (x, call) =>
        mixed(
          blend,
          mix,
          inner.apply(x, call),
          own.map((layer) => layer?.apply(x, call) ?? null),
          call,
        ),
      dense: () => {
        if (!blend.values)
          throw new PeftError(
            'not-mergeable',
            `${blend.who}: ${path} is another layer in each row; merge one part instead`,
          );
        const [plain, parts] = [inner.dense(), own.map((layer) => (layer ?? inner).dense())];
        const weight = blend.values(
          parts.map((dense) => dense.weight),
          plain.weight,
        );
        return { weight, bias: biasOf(blend.values, parts, plain) };
      },
    };
  };

const normOf =
  (blend: Blend) =>
  (path: Path, inner: Norm, own: readonly (Norm | null)[]): Norm => {
    const mix = blend.at('norm', path);
    const all = own.map((norm) => norm ?? inner);
    const { values = (_: readonly Tensor[], plain: Tensor) => plain } = blend;
    const bias = biasOf(values, all, inner);
    const weight = values(
      all.map((norm) => norm.weight),
      inner.weight,
    );
    return {
      ...inner,
      weight,
      bias,
      apply: (x, call) =>
        mixed(
          blend,
          mix,
          inner.apply(x, call),
          own.map((norm) => norm?.apply(x, call) ?? null),
          call,
        ),
    };
  };

const embeddingOf =
  (blend: Blend, { main }: Model) =>
  (path: Path, inner: Embedding, own: readonly (Embedding | null)[]): Embedding => {
    const mix = blend.at('embedding', path);
    if (!blend.values && path !== main.tokenTable)
      throw new PeftError('bad-option', `${blend.who}: the table ${path} is one for all rows, a part changes it`);
    const all = own.map((table) => (table ?? inner).weight);
    return {
      ...inner,
      weight: blend.values?.(all, inner.weight) ?? inner.weight,
      apply: (ids, call) =>
        mixed(
          blend,
          mix,
          inner.apply(ids, call),
          own.map((table) => table?.apply(ids, call) ?? null),
          call,
        ),
    };
  };

const expertsOf =
  (blend: Blend) =>
  (path: Path, inner: Experts, own: readonly (Experts | null)[]): Experts => {
    const { who, values } = blend;
    if (!values)
      throw new PeftError('bad-option', `${who}: a part changes the experts ${path}, whose rows are of all texts`);
    const mix = blend.at('experts', path);
    return {
      ...inner,
      apply: (x, index, call) =>
        mixed(
          blend,
          mix,
          inner.apply(x, index, call),
          own.map((experts) => experts?.apply(x, index, call) ?? null),
          call,
        ),
      dense: () =>
        values(
          own.map((experts) => (experts ?? inner).dense()),
          inner.dense(),
        ),
    };
  };

const mixedSites: readonly MixedSite[] = ['embed', ...streamSites, 'heads', 'kv', 'crossKv'];

const aroundOf = (blend: Blend, patches: readonly Patch[]): NonNullable<Patch['around']> => {
  const at = <S extends MixedSite>(site: S): ReadonlyMap<Path, Around<S>> => {
    const tables = patches.map(({ around }) => around?.[site] as ReadonlyMap<Path, Around<S>> | undefined);
    return new Map(
      union(tables).map((path): [Path, Around<S>] => {
        const mix = blend.at(site, path);
        return [
          path,
          (x, next, call) => {
            const core = once(blend.who, site, path, next);
            const plain = core(x) as Tensor | KeyValue;
            const own = tables.map((table) => (table?.get(path)?.(x, core, call) ?? null) as typeof plain | null);
            return mixed(blend, mix, plain, own, call) as ReturnType<Around<S>>;
          },
        ];
      }),
    );
  };
  return Object.fromEntries(mixedSites.map((site) => [site, at(site)])) as NonNullable<Patch['around']>;
};

/** The one number of places by which all parts move positions. Throws `bad-option`. */
const shiftOf = ({ who }: Blend, patches: readonly Patch[]): number => {
  const shifts = new Set(patches.map(({ positionShift = 0 }) => positionShift));
  if (shifts.size > 1)
    throw new PeftError(
      'bad-option',
      `${who}: the parts move positions by ${[...shifts].join(', ')}; in one pass they must agree`,
    );
  return [...shifts][0] ?? 0;
};

/**
 * Several patches as one that mixes, at each place that one of them changes, what each gives there. Their objectives, statistics and
 * decisions are all kept. Throws `bad-option`.
 */
export const blended = (model: Model, patches: readonly Patch[], blend: Blend): Patch => {
  if (patches.some(({ around }) => around?.model?.size))
    throw new PeftError(
      'bad-option',
      `${blend.who}: a part goes through the whole pass as it likes, which none can share`,
    );
  const others = patches.map(({ linear: _, norm: __, embedding: ___, experts: ____, around: _____, ...rest }) => rest);
  return {
    ...mergePatches(others),
    linear: wraps(
      patches.map((p) => p.linear),
      linearOf(blend),
    ),
    norm: wraps(
      patches.map((p) => p.norm),
      normOf(blend),
    ),
    embedding: wraps(
      patches.map((p) => p.embedding),
      embeddingOf(blend, model),
    ),
    experts: wraps(
      patches.map((p) => p.experts),
      expertsOf(blend),
    ),
    around: aroundOf(blend, patches),
    positionShift: shiftOf(blend, patches),
  };
};
